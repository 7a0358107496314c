"""What is fetched: the folders of a project and of its service in a real repository, and what they say."""

import uuid
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.build_slots import BuildSlots
from activities.sources import SourceActivities
from activities.test_reports import TestReports
from activities.workspaces import BuildFolders
from contracts.builds import FetchedSource, FetchSource
from drivers.sources.git import GitSource
from runtime.limited import LimitedProcesses
from tests.drivers.sources.test_git_source import Repository, git

APP = "print('x')\n"
MONO = {
    "apps/api/Procfile": "release: ./migrate\nweb: python3 api.py\nworker: python3 worker.py\n",
    "apps/web/delivery.yaml": "source: {path: src}\nservice: {command: from file}\n",
    "apps/web/src/Procfile": "web: not this one\nrelease: ./beside\n",
    "apps/bare/readme": APP,
    "shared/x": APP,
}


@pytest.fixture
def fetch(tmp_path: Path):
    """Commits files and fetches them; `source_path` is the project's."""
    repository = Repository(tmp_path / "repo")
    limited = LimitedProcesses(("domain.delivery_spec_loader", "activities.reports"))
    folders = BuildFolders(tmp_path / "data")
    reports = TestReports(folders, limited)
    source = GitSource(allow_file=True, allow_private=True)
    activities = SourceActivities(source, folders, None, limited, BuildSlots(4), reports=reports)

    async def run(files: dict[str, str], source_path: str = ".") -> tuple[FetchedSource, str]:
        for name, text in files.items():
            path = repository.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                path.symlink_to(text.removeprefix("-> "))
            else:
                path.write_text(text)
        git(repository.folder, "add", "--all")
        git(repository.folder, "commit", "--quiet", "--message", "x")
        request = FetchSource(
            operation_id=uuid.uuid4(), repository_url=Path(repository.folder).as_uri(), source_path=source_path
        )
        folders.make(request.operation_id, "")
        found = await ActivityEnvironment().run(activities.fetch, request)
        return found, folders.log(request.operation_id, "source").read_text()

    return run


async def refused(fetch, files: dict[str, str], source_path: str = ".") -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await fetch(files, source_path)
    return caught.value


async def test_procfile_in_source_path(fetch):
    """`cases/procfile-in-source-path`: delivery.yaml names the folder, the Procfile is beside the service."""
    found, _ = await fetch({**MONO, "delivery.yaml": "source: {path: apps/api}\n", "Procfile": "web: of the root\n"})
    assert (found.spec.service.command, found.spec.release.command) == ("python3 api.py", "./migrate")
    assert found.folder == "apps/api"


async def test_without_one_beside_the_service_the_procfile_beside_delivery_yaml_counts(fetch):
    found, _ = await fetch({**MONO, "delivery.yaml": "source: {path: shared}\n", "Procfile": "web: of the root\n"})
    assert (found.spec.service.command, found.folder) == ("of the root", "shared")


async def test_two_projects_in_one_repository(fetch):
    api, log = await fetch(MONO, "apps/api")
    assert (api.spec.service.command, api.folder) == ("python3 api.py", "apps/api")
    web, _ = await fetch({"x": APP}, "apps/web")
    assert (web.spec.service.command, web.spec.release.command) == ("from file", "./beside")
    assert web.folder == "apps/web/src"
    assert web.notice is None
    assert api.notice is not None
    assert api.notice == "beside the service run `worker` (1)"
    assert api.notice in log


@pytest.mark.parametrize(
    ("files", "source_path", "code", "words"),
    [
        (MONO, "apps/none", "SOURCE_PATH_NOT_FOUND", "the project's source_path 'apps/none' is not a folder"),
        (MONO, "shared/x", "SOURCE_PATH_NOT_FOUND", "the project's source_path 'shared/x' is not a folder"),
        (MONO, "apps/bare", "SPEC_MISSING", "neither a delivery.yaml nor a Procfile in the project's source_path"),
        (
            {"delivery.yaml": "source: {path: gone}\nservice: {command: x}\n"},
            ".",
            "SOURCE_PATH_NOT_FOUND",
            "source.path 'gone' of delivery.yaml is not a folder",
        ),
        ({"a/delivery.yaml": "servise: {}\n"}, "a", "SPEC_INVALID", "a/delivery.yaml:1:1: servise: "),
        ({"a/Procfile": "web: \n"}, "a", "SPEC_MISSING", "the a/Procfile has no `web:` line"),
        (
            {"delivery.yaml": "source: {path: b}\n", "b/Procfile": f"\nweb: {'x' * 5000}\n"},
            ".",
            "SPEC_INVALID",
            "b/Procfile:2:1: web: ",
        ),
    ],
)
async def test_what_is_missing_or_wrong_is_named_with_its_folder(fetch, files, source_path, code, words):
    failed = await refused(fetch, files, source_path)
    assert failed.type == code
    assert words in failed.message


async def test_a_link_to_a_folder_of_the_repository_is_a_folder(fetch):
    found, _ = await fetch({**MONO, "link": "-> apps/api"}, "link")
    assert found.spec.service.command == "python3 api.py"
