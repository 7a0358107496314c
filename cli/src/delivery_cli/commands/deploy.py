"""`delivery deploy`: build the commit at hand and deploy it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.exits import Exit
from delivery_cli.faults import UsageFault
from delivery_cli.run import Run, plain

if TYPE_CHECKING:
    from delivery_cli.repository.checkout import Checkout

Json = dict[str, Any]


@command(
    "deploy",
    "delivery deploy --watch",
    "delivery deploy 1.4.0 --env production --strategy canary --canary 10 --watch",
    "delivery deploy --yes --json id,operation_id    # for programs: no question, the answer as JSON",
    project=True,
)
def deploy(
    run: Run,
    version: Annotated[
        str | None, typer.Argument(help="Semantic version. Else HEAD's tag, the file VERSION, or one made of both.")
    ] = None,
    env: Annotated[str, typer.Option("--env", "-e", help="dev, staging or production.")] = "dev",
    strategy: Annotated[str, typer.Option("--strategy", help="rolling, blue_green, canary or ramp.")] = "rolling",
    canary: Annotated[
        int | None,
        typer.Option(
            "--canary", min=0, max=100, help="Percent of the traffic for a canary; 0: none until somebody resumes."
        ),
    ] = None,
    branch: Annotated[
        str | None, typer.Option("--branch", help="Deploy the newest commit of this branch instead of HEAD.")
    ] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="Deploy this commit instead of HEAD.")] = None,
    feature: Annotated[
        str, typer.Option("--feature", help="The feature that it is for, where the project has several.")
    ] = "",
    notes: Annotated[
        str | None, typer.Option("--notes", help="Your approval's words, where you may approve yourself.")
    ] = None,
    request_approval: Annotated[bool, typer.Option("--request-approval", help="Let others approve it first.")] = False,
    override_freeze: Annotated[
        bool, typer.Option("--override-freeze", help="Outside of the environment's windows, too.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end; Ctrl-C detaches.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="With --watch: stop watching after so many seconds.")
    ] = None,
    wait_for_people: Annotated[
        bool, typer.Option("--wait-for-people", help="With --watch, without a terminal: wait for approvals, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Create what is missing without asking.")] = False,
) -> int:
    """Build the commit at hand and deploy it

    Finds project, branch and commit of the checkout; creates the project and a feature, after one question, if there
    are none. What is not committed is not deployed; what is not pushed, the server cannot see.
    """
    strategy = "canary" if canary is not None and strategy == "rolling" else strategy.replace("-", "_")
    source = _source(run, branch, commit)
    if not (version or source.version):
        raise UsageFault("which version?", "`delivery deploy 1.0.0`; outside of a checkout it cannot be found out")
    where = _where(run, feature, yes=yes)
    build, version = _built(run, where, source, version)
    optional = {
        "canary_percentage": canary,
        "approval_notes": notes,
        "request_approval": request_approval or None,
        "override_freeze": override_freeze or None,
    }
    asked: Json = {"environment": env, "deployment_strategy": strategy}
    asked.update({key: value for key, value in optional.items() if value is not None})
    if build:
        deployment = plain(run.client.deployments.create(build_id=build["id"], **asked))
        run.out.note(f"{version} is build {build['build_number']} of this commit already: it is not built again")
    else:
        handle = run.client.features.build_and_deploy(
            feature_id=where["id"], version_tag=version, **source.fields, **asked
        )
        deployment = plain(run.client.deployments.get(deployment_id=handle.deployment_id))
    run.out.note(f"{version} to {env}: deployment {deployment['id']}")
    if not watch:
        run.out.answer(deployment, f"delivery status {deployment['id']} --watch")
        return Exit.DONE
    from delivery_cli.live.follow import follow

    return follow(run, deployment, timeout=timeout, people=wait_for_people)


@dataclass(frozen=True)
class Source:
    """What is built: fields of the request, and the version that it says itself."""

    fields: Json
    version: str
    is_from_file: bool = False


def _source(run: Run, branch: str | None, commit: str | None) -> Source:
    if branch or commit:
        named = {"git_branch": branch, "git_commit_hash": commit}
        return Source({key: value for key, value in named.items() if value}, "")
    if run.named_project and not _is_in_checkout(run):
        return Source({}, "")  # the repository's default branch
    here = run.checkout
    _warn(run, here)
    fields = {"git_commit_hash": here.commit, **({"git_branch": here.branch} if here.branch else {})}
    version, is_from_file = here.version
    return Source(fields, version, is_from_file)


def _built(run: Run, feature: Json, source: Source, version: str | None) -> tuple[Json | None, str]:
    """The good build that this commit has under this version, and the version: one commit is built once."""
    named = version or source.version
    commit = source.fields.get("git_commit_hash")
    project = plain(run.client.requirements.get(requirement_id=feature["requirement_id"]))["project_id"]
    there = [plain(one) for one in run.client.builds.list_for_project(project_id=project, version_tag=named).data]
    if not there or not commit:
        return None, named
    if there[0]["git_commit_hash"] == commit:
        return (there[0] if there[0]["status"] == "success" else None), named
    if version is None and source.is_from_file:
        new = f"{named}+g{commit[:7]}"
        run.out.note(
            f"{named} was built from another commit, so this one is {new}; change the file VERSION for a new one"
        )
        return _built(run, feature, source, new)
    raise UsageFault(
        f"{named} was built from the commit {there[0]['git_commit_hash'][:10]} already",
        "name another version: `delivery deploy VERSION`, or tag the commit",
    )


def _is_in_checkout(run: Run) -> bool:
    try:
        return bool(run.checkout.commit)
    except UsageFault:
        return False


def _warn(run: Run, here: "Checkout") -> None:
    if here.changed:
        shown = ", ".join(here.changed[:3]) + (f" and {len(here.changed) - 3} more" if len(here.changed) > 3 else "")
        run.out.note(f"warning: not committed, so not deployed: {shown}")
    if here.remotes and not here.is_pushed:
        run.out.note(
            f"warning: {here.commit[:10]} is in no remote branch known here: the server may not find it. git push"
        )


def _where(run: Run, feature: str, *, yes: bool) -> Json:
    """The feature to deploy for; what is missing is created after one question."""
    from delivery_cli import finding

    if finding.is_id(feature):
        return dict(plain(run.client.features.get(feature_id=feature)))
    projects = [run.project] if finding.is_id(run.named_project) else finding.matching_projects(run)
    if len(projects) > 1:
        return dict(run.project)  # which says that there are several
    project = projects[0] if projects else None
    found = finding.feature(run, project, feature) if project else None
    if found:
        return found
    return _created(run, project, feature, yes=yes)


def _created(run: Run, project: Json | None, feature: str, *, yes: bool) -> Json:
    from delivery_cli.finding import slug_of

    address = "" if project else _address(run)
    slug = project["slug"] if project else run.named_project or slug_of(run.checkout.folder.name)
    name = feature or slug
    what = [] if project else [f"the project {slug} of {address}"]
    what += [f"its requirement and feature {name!r}"]
    run.confirm(f"In {run.organization['slug']}, create {' and '.join(what)}?", yes=yes)
    if project is None:
        made = run.client.projects.create(
            org_id=run.organization["id"],
            name=run.checkout.folder.name[:100].ljust(2, "-"),
            slug=slug,
            repository_url=address,
        )
        project = plain(made)
    requirement = plain(
        run.client.requirements.create(
            project_id=project["id"],
            title=f"{name} runs",
            description=f"{name} is built and deployed by the delivery engine.",
            acceptance_criteria=[f"{name} serves traffic"],
        )
    )
    words = f"The service {name}"
    return dict(plain(run.client.features.create(requirement_id=requirement["id"], name=name, description=words)))


def _address(run: Run) -> str:
    """What the server fetches the repository from."""
    from urllib.parse import urlsplit

    from delivery_cli.repository.checkout import clonable

    here = run.checkout
    for address in here.remotes.values():
        return clonable(address)
    if urlsplit(run.profile.url).hostname in {"127.0.0.1", "localhost", "::1"}:
        return here.folder.as_uri()
    raise UsageFault(
        "this repository has no remote, and the server is on another machine",
        "push it to where the server can fetch it: git remote add origin URL && git push -u origin HEAD",
    )
