"""What a build wrote with its own path in it works in the instance: they are at the same place."""

import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.artifacts.links import Origin, unseen
from drivers.builders.base import RunRequest
from drivers.builders.private import PrivateFolders
from drivers.builders.registry import select_builder
from drivers.clean_env import CodePath
from drivers.targets.base import InstanceSpec
from drivers.targets.process import ProcessTarget
from tests.drivers.targets.service import SERVICE, Service, ask
from tests.support.deep import by_depth
from tests.support.wheels import wheel

MODES = [
    pytest.param("isolated", marks=pytest.mark.skipif(not sandbox.available(), reason="no bubblewrap here")),
    pytest.param(
        "trusted",
        marks=[pytest.mark.skipif(not sandbox.can_mount(), reason="no mount namespaces here"), pytest.mark.deep],
    ),
]


class Project:
    """A repository with the service in `path`, built, packaged and run as the engine does."""

    def __init__(self, root: Path, mode: str, path: str = ".") -> None:
        self.trusted = mode == "trusted"
        self.root, self.path = root, path
        self.tree = root / "workspace" / "tree"
        self.folder = self.tree / path
        self.folder.mkdir(parents=True)
        self.store = FolderArtifactStore(root / "artifacts")
        self.log = root / "build.log"
        self.sockets = Path(tempfile.mkdtemp(prefix="doors-"))
        self.target = ProcessTarget(
            root / "instances", self.store, trusted_code=self.trusted, hidden=(root,), sockets=self.sockets
        )

    async def build(self, *steps: str, output: str = ".", **env: str) -> str:
        """The digest of what the steps left."""
        builder = select_builder("process" if self.trusted else "auto", trusted_code=self.trusted, hidden=(self.root,))
        result = await builder.run(
            RunRequest(
                key=str(self.root),
                root=self.tree,
                workdir=self.folder,
                state_dir=self.root / "state",
                steps=steps,
                log_path=self.log,
                env=env,
            )
        )
        assert result.exit_code == 0, self.log.read_text()
        origin = Origin(
            self.tree, PrivateFolders.of(self.tree).home, unseen(isolated=not self.trusted, data=[self.root])
        )
        stored = await self.store.store(self.folder / output, origin)
        shutil.rmtree(self.root / "workspace")
        return stored.digest

    async def answer(self, digest: str, command: str = "python3 service.py") -> dict[str, object]:
        service = Service(self.target, self.root / "instances", digest, self.sockets)
        try:
            return ask(await service.listening(service.spec(command=command)))
        finally:
            await self.target.stop("r1-0")
            shutil.rmtree(self.sockets)


@pytest.mark.shortened
@pytest.mark.parametrize("mode", MODES)
async def test_venv_in_artifact_and_every_other_way_of_pip(mode: str, tmp_path: Path) -> None:
    project = Project(tmp_path, mode)
    install = "install -q --no-index --disable-pip-version-check"
    ways = {
        "linked": f"python3 -m venv --without-pip .venv && pip --python .venv {install} ./linked-*.whl",
        "copied": f"python3 -m venv --without-pip --copies copies && pip --python copies {install} ./copied-*.whl",
        "plain": f"pip {install} ./plain-*.whl",
        "ofuser": f"pip {install} --user ./ofuser-*.whl",
        "inplace": f"pip {install} --target vendor ./inplace-*.whl",
    }
    checks = {
        "linked": ".venv/bin/say-linked && .venv/bin/python -c 'import linked'",
        "copied": "copies/bin/say-copied",
        "plain": "say-plain && python3 -c 'import plain; plain.main()'",
        "ofuser": "say-ofuser && python3 -c 'import ofuser; ofuser.main()'",
    }
    tried = by_depth(short=("linked", "ofuser"), long=tuple(ways))
    for name in tried:
        wheel(project.folder, name)
    said = " && ".join((*(checks[name] for name in tried if name in checks), "pwd"))
    (project.folder / "service.py").write_text(SERVICE)
    digest = await project.build(*(ways[name] for name in tried), f"{said} > built")
    answer = await project.answer(
        digest, f'{said} > "$TMPDIR/ran"; cmp built "$TMPDIR/ran" && exec .venv/bin/python service.py'
    )
    assert answer["cwd"] == sandbox.APP
    assert [find_spec(name) for name in ("plain", "ofuser")] == [None, None]  # the engine did not get them


@pytest.mark.parametrize("mode", MODES)
async def test_paths_below_the_output_folder_of_a_service_in_a_folder(mode: str, tmp_path: Path) -> None:
    project = Project(tmp_path, mode, "apps/web")
    wheel(project.tree, "shared")
    (project.folder / "service.py").write_text(SERVICE)
    digest = await project.build(
        "mkdir -p dist && cp service.py dist",
        "python3 -m venv --without-pip dist/.venv && pip --python dist/.venv install -q --no-index ../../shared-*.whl",
        output="dist",
    )
    answer = await project.answer(digest, ".venv/bin/say-shared && exec .venv/bin/python service.py")
    assert answer["cwd"] == "/delivery/app/apps/web/dist"


@pytest.mark.parametrize("mode", MODES)
async def test_sockets_below_tmpdir_and_its_own_paths_in_a_service(mode: str, tmp_path: Path) -> None:
    project = Project(tmp_path / ("a long name " * 10), mode)
    manager = "import multiprocessing\nmultiprocessing.Manager().dict()\n"
    main = "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in (manager + SERVICE).splitlines())
    (project.folder / "service.py").write_text(main)
    env = (await project.answer(await project.build("true")))["env"]
    assert (env["HOME"], env["TMPDIR"]) == (sandbox.HOME, sandbox.TMP)


@pytest.mark.parametrize("mode", MODES)
async def test_artifacts_of_before_run_on(mode: str, tmp_path: Path) -> None:
    """They have no place, and instances of before have a record without one."""
    project = Project(tmp_path, mode)
    (project.folder / "service.py").write_text(SERVICE)
    digest = (await project.store.store(project.folder)).digest
    record = {"instance_id": "r1-0", "release_id": "r1", "artifact_digest": digest, "port": 20500, "isolated": False}
    folder = tmp_path / "instances" / "r1-0"
    folder.mkdir(parents=True)
    (folder / "instance.json").write_text(json.dumps(record))
    assert (await project.answer(digest))["cwd"] == sandbox.APP


async def test_without_namespaces_trusted_code_runs_at_its_own_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "can_mount", lambda: False)
    project = Project(tmp_path / ("a long name " * 10), "trusted")
    (project.folder / "service.py").write_text("import multiprocessing as m\nm.Manager\n" + SERVICE)
    digest = await project.build(
        'python3 -c "import multiprocessing as m; m.Manager()"', 'echo made > "$PWD/made"; ln -s "$PWD/made" link'
    )
    answer = await project.answer(digest, "cat link && exec python3 service.py")
    assert answer["cwd"] == str(project.root / "instances" / "r1-0" / "app")
    assert len(answer["env"]["TMPDIR"]) < 40


@pytest.mark.parametrize("mode", MODES)
async def test_a_program_that_is_not_there_is_reported_with_the_path(mode: str, tmp_path: Path) -> None:
    project = Project(tmp_path, mode)
    (project.folder / "x").write_text("")
    digest = await project.build("true")
    service = Service(project.target, tmp_path / "instances", digest, project.sockets)
    await project.target.start(service.spec(command="nope"))
    status = await service.seen("r1-0", "exit_code", 127)
    await project.target.stop("r1-0")
    shutil.rmtree(project.sockets)
    assert "/usr/bin" in status.search_path.split(":")


def test_the_path_is_the_usual_places_and_where_code_is_trusted_the_engines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:{tmp_path}/own/bin:relative:/usr/bin")
    usual = CodePath.of("", trusted=False)
    assert usual.folders[0] == f"{sys.base_prefix}/bin"
    assert ("/usr/local/go/bin" in usual.folders) == Path("/usr/local/go/bin").is_dir()
    assert usual.shown == ()
    trusted = CodePath.of("", trusted=True)
    assert trusted.folders == (*usual.folders, f"{tmp_path}/own/bin")
    assert tmp_path / "own" in trusted.shown
    chosen = CodePath.of("/opt/tools/bin:/bin", trusted=False)
    assert chosen.folders == ("/opt/tools/bin", "/bin")


async def test_a_tool_in_a_hidden_folder_of_the_path_is_found_by_isolated_code(tmp_path: Path) -> None:
    if not sandbox.available():
        pytest.skip("no bubblewrap here")
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    (tools / "mytool").write_text("#!/bin/sh\necho found\n")
    (tools / "mytool").chmod(0o755)
    tree = tmp_path / "tree"
    tree.mkdir()
    path = CodePath.of(f"{tools}:/usr/bin:/bin", trusted=False)
    builder = select_builder("auto", trusted_code=False, hidden=(tree,), path=path)
    request = RunRequest("k", tree, tmp_path / "state", ("mytool", f"! touch {tools}/x"), tmp_path / "log")
    assert (await builder.run(request)).exit_code == 0


async def test_an_unknown_artifact_is_reported_before_anything_is_reserved(tmp_path: Path) -> None:
    target = ProcessTarget(tmp_path / "i", FolderArtifactStore(tmp_path / "a"), trusted_code=True)
    with pytest.raises(TerminalError) as caught:
        await target.start(InstanceSpec("r1-0", "r1", "sha256:" + "0" * 64, "true"))
    assert caught.value.code is ErrorCode.ARTIFACT_UNAVAILABLE
    assert not (tmp_path / "i" / "r1-0").exists()
