"""Which organization, project, feature and deployment a command is about: found out, or asked of the caller by name."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from delivery_cli.faults import Fault, UsageFault
from delivery_cli.repository.checkout import same_repository

if TYPE_CHECKING:
    from ai_agents import Client

    from delivery_cli.run import Run

Json = dict[str, Any]
PAGE = 100


def plain(value: Any) -> Any:
    """See `delivery_cli.run.plain`."""
    from delivery_cli.run import plain as convert

    return convert(value)


def is_id(text: str) -> bool:
    """Whether it is an id, and no slug or version."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def organization(client: "Client", named: str) -> Json:
    """The one of that slug or id, or the only one."""
    from ai_agents import PermissionDeniedError

    try:
        if is_id(named):
            found: Json = plain(client.organizations.get(org_id=named))
            return found
        asked: Json = {"search": named} if named else {}
        mine = [plain(one) for one in client.organizations.list(page_size=PAGE, **asked)]
    except PermissionDeniedError:  # a key with few scopes: it belongs to one organization all the same
        own = plain(client.users.me())["organization_id"]
        mine = [{"id": own, "slug": named or own}] if own else []
    if named and not is_id(named):
        mine = [one for one in mine if one["slug"] == named]
    if len(mine) == 1:
        return dict(mine[0])
    if not mine:
        hint = "`delivery whoami` tells who you are" if named else "ask for an invitation, or create one"
        raise UsageFault(
            f"there is no organization {named!r} for you" if named else "you belong to no organization", hint
        )
    slugs = ", ".join(sorted(one["slug"] for one in mine)[:20])
    raise UsageFault("you have several organizations", f"name one with --org or DELIVERY_ORG: {slugs}")


def project(run: "Run") -> Json:
    """The named project, or the one whose repository is checked out here; raises `UsageFault`."""
    named = run.named_project
    if is_id(named):
        found: Json = plain(run.client.projects.get(project_id=named))
        return found
    fitting = matching_projects(run)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        slugs = ", ".join(one["slug"] for one in fitting)
        raise UsageFault(
            "several projects have this repository", f"name one with --project or DELIVERY_PROJECT: {slugs}"
        )
    organization_slug = run.organization["slug"]
    if named:
        raise UsageFault(
            f"there is no project {named!r} in {organization_slug}", "`delivery history --help`; or deploy it first"
        )
    raise UsageFault(
        f"no project of {organization_slug} has this repository",
        "`delivery deploy` creates one; or name another with --project",
    )


def matching_projects(run: "Run") -> list[Json]:
    """Projects of the organization that are named, or whose repository this is."""
    named = run.named_project
    if named:
        listed = run.client.projects.list(org_id=run.organization["id"], search=named, page_size=PAGE)
        return [one for one in map(plain, listed) if one["slug"] == named]
    here = run.checkout.addresses
    listed = run.client.projects.list(org_id=run.organization["id"], page_size=PAGE)
    return [
        one for one in map(plain, listed) if any(same_repository(one["repository_url"], address) for address in here)
    ]


def features(run: "Run", project_id: str) -> Iterable[Json]:
    """All features of a project."""
    for requirement in run.client.requirements.list(project_id=project_id, page_size=PAGE):
        requirement_id = plain(requirement)["id"]
        for feature in run.client.features.list(requirement_id=requirement_id, page_size=PAGE):
            yield plain(feature)


def feature(run: "Run", project: Json, named: str) -> Json | None:
    """The named feature, the only one, or the one that `deploy` made; None: the project has none."""
    if is_id(named):
        found: Json = plain(run.client.features.get(feature_id=named))
        return found
    known = list(features(run, project["id"]))
    if named:
        fitting = [one for one in known if one["name"] == named]
        if not fitting:
            names = ", ".join(one["name"] for one in known) or "none"
            raise UsageFault(f"there is no feature {named!r} in {project['slug']}", f"there are: {names}")
        return fitting[0]
    if len(known) <= 1:
        return known[0] if known else None
    for one in known:
        if one["name"] == project["slug"]:
            return one
    names = ", ".join(one["name"] for one in known[:20])
    raise UsageFault(f"{project['slug']} has several features", f"name one with --feature: {names}")


def deployment(run: "Run", given: str | None, environment: str | None, states: tuple[str, ...]) -> Json:
    """The deployment of that id or version, or the newest of the project."""
    if given and is_id(given):
        found: Json = plain(run.client.deployments.get(deployment_id=given))
        return found
    asked: Json = {"project_id": run.project["id"], "page_size": PAGE}
    if environment:
        asked["environment"] = environment
    for seen, one in enumerate(run.client.deployments.list(**asked)):
        found = plain(one)
        if (not given or found["version_tag"] == given) and (not states or found["status"] in states):
            return found
        if seen >= 10 * PAGE:
            break
    where = f" in {environment}" if environment else ""
    what = f"of version {given}" if given else "" if states else "yet"
    if states:
        what += " that is " + " or ".join(state.replace("_", " ") for state in states)
    raise Fault(
        f"{run.project['slug']} has no deployment{where} {what.strip()}",
        "`delivery history` lists them" if given or states else "`delivery deploy` makes one",
    )


def slug_of(text: str) -> str:
    """A slug made of a name: small letters, digits, single hyphens."""
    flat = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return flat[:50].strip("-") or "project"
