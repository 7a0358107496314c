"""Links that a build left: what stays, what is brought along, what is refused."""

import os
import sys
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.base import PACKED_HOME
from drivers.artifacts.folder import FolderArtifactStore
from drivers.artifacts.links import Origin, unseen


class Build:
    """A checkout with the service in `apps/web`, and its HOME."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.data = root / "tree", root / "tree.private" / "home", root / "data"
        self.web = self.root / "apps" / "web"
        for folder in (self.web, self.home, self.data):
            folder.mkdir(parents=True)
        (self.web / "app.py").write_text("app")
        self.store = FolderArtifactStore(root / "store")
        self.out = root / "out"

    async def packed(self, *, isolated: bool = True) -> Path:
        hidden = unseen(isolated=isolated, data=[self.data])
        stored = await self.store.store(self.web, Origin(self.root, self.home, hidden))
        assert await self.store.place(stored.digest) == "apps/web"
        await self.store.unpack(stored.digest, self.out)
        return self.out

    async def refused(self, *, isolated: bool = True) -> str:
        with pytest.raises(TerminalError) as caught:
            await self.packed(isolated=isolated)
        assert caught.value.code is ErrorCode.ARTIFACT_INVALID
        return caught.value.message

    def link(self, name: str, target: str | Path) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


async def test_monorepo_link_to_shared_is_packaged_as_a_copy(build):
    shared = build.root / "packages" / "shared"
    (shared / "inner").mkdir(parents=True)
    (shared / "x.txt").write_text("x")
    (shared / "tool").write_text("#!/bin/sh\n")
    (shared / "tool").chmod(0o755)
    build.link("packages/shared/inner/up", "../x.txt")
    build.link("apps/web/shared", "../../packages/shared")
    build.link("apps/web/one.txt", "../../packages/shared/inner/up")
    out = await build.packed()
    assert not (out / "shared").is_symlink()
    assert (out / "shared" / "x.txt").read_text() == (out / "one.txt").read_text() == "x"
    assert (out / "shared" / "inner" / "up").read_text() == "x"
    assert os.fspath((out / "shared" / "inner" / "up").readlink()) == "../x.txt"
    assert os.access(out / "shared" / "tool", os.X_OK)


async def test_links_in_a_circle_are_closed_in_the_archive(build):
    (build.root / "packages" / "shared").mkdir(parents=True)
    (build.root / "packages" / "shared" / "x.txt").write_text("x")
    build.link("apps/web/shared", "../../packages/shared")
    build.link("packages/shared/web", "../../apps/web")
    build.link("packages/shared/itself", ".")
    build.link("packages/shared/other", "../other")
    build.link("packages/other/shared", "../shared")
    build.link("apps/web/everything", "../..")
    out = await build.packed()
    assert (out / "shared" / "web" / "shared" / "itself" / "other" / "shared" / "x.txt").read_text() == "x"
    assert (out / "everything" / "packages" / "other" / "shared" / "x.txt").read_text() == "x"
    assert not any(path.resolve().is_relative_to(build.root) for path in out.rglob("*"))


async def test_copies_for_links_are_bounded(build):
    """Each level names the next one twice: a small tree that would become an endless one."""
    for level in range(40):
        build.link(f"packages/p{level}/a", f"../p{level + 1}")
        build.link(f"packages/p{level}/b", f"../p{level + 1}")
    (build.root / "packages" / "p40").mkdir()
    build.link("apps/web/p", "../../packages/p0")
    build.store = FolderArtifactStore(build.out.parent / "small", max_files=1000)
    with pytest.raises(TerminalError) as caught:
        await build.packed()
    assert caught.value.code is ErrorCode.ARTIFACT_TOO_LARGE


async def test_links_to_the_system_stay_also_through_other_links(build):
    interpreter = f"{sys.base_prefix}/bin/python3"
    build.link("apps/web/.venv/bin/python3", interpreter)
    build.link("apps/web/.venv/bin/python", "python3")
    build.link("apps/web/.venv/lib64", "lib")
    build.link("apps/web/zone", "/usr/share/zoneinfo/UTC")
    out = await build.packed()
    assert os.fspath((out / ".venv/bin/python3").readlink()) == interpreter
    assert os.fspath((out / ".venv/bin/python").readlink()) == "python3"
    assert os.fspath((out / ".venv/lib64").readlink()) == "lib"
    assert os.fspath((out / "zone").readlink()) == "/usr/share/zoneinfo/UTC"


async def test_absolute_links_into_the_workspace_lead_to_the_same_in_an_instance(build):
    (build.root / "packages").mkdir()
    (build.root / "packages" / "y").write_text("y")
    build.link("apps/web/inside", "/delivery/app/apps/web/app.py")
    build.link("apps/web/deep/real", build.web / "app.py")  # as builds without a mount namespace see it
    build.link("apps/web/beside", "/delivery/app/packages/y")
    out = await build.packed()
    assert os.fspath((out / "inside").readlink()) == "app.py"
    assert os.fspath((out / "deep" / "real").readlink()) == "../app.py"
    assert ((out / "beside").is_symlink(), (out / "beside").read_text()) == (False, "y")


async def test_what_was_installed_below_home_comes_along_and_caches_do_not(build):
    for name in (".local/bin/tool", ".local/lib/m.py", "go/bin/g", "go/pkg/mod/x", ".cache/pip/y", ".npm/z", ".bashrc"):
        (build.home / name).parent.mkdir(parents=True, exist_ok=True)
        (build.home / name).write_text(name)
    (build.home / ".local" / "bin" / "app").symlink_to("../../../app/apps/web/app.py")
    build.link("apps/web/m", "/delivery/home/.local/lib/m.py")
    out = await build.packed()
    files = {os.fspath(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}
    home = {f"{PACKED_HOME}/{name}" for name in (".local/bin/tool", ".local/bin/app", ".local/lib/m.py", "go/bin/g")}
    assert files == home | {"app.py", "m"}
    assert os.fspath((out / PACKED_HOME / ".local/bin/app").readlink()) == "/delivery/app/apps/web/app.py"
    assert os.fspath((out / "m").readlink()) == "/delivery/home/.local/lib/m.py"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../../../outside", "out of the repository"),
        ("../../nothing/there", "to nothing, outside of what is packaged"),
        ("../../.git/config", "never packaged"),
        ("/delivery/home/.bashrc", "into HOME"),
        ("/delivery/tmp/x", "gone when the service runs"),
        ("/tmp/x", "services do not find"),
        ("/var/../tmp/x", "services do not find"),
        ("/etc/shadow", "services do not find"),
        ("/root/.ssh", "services do not find"),
        ("DATA/artifacts", "services do not find"),
        ("/usr/..DATA", "services do not find"),
    ],
)
async def test_links_that_lead_nowhere_in_an_instance_are_refused_in_words_that_fit(build, target, words):
    build.link("apps/web/bad", target.replace("DATA", os.fspath(build.data)))
    message = await build.refused()
    assert ("'bad'" in message, words in message) == (True, True), message


async def test_trusted_code_may_link_what_isolated_code_does_not_see_but_not_our_data(build):
    build.link("apps/web/models", Path.home() / "models")
    await build.packed(isolated=False)
    build.link("apps/web/rows", build.data / "rows")
    assert "'rows'" in await build.refused(isolated=False)


async def test_the_name_we_need_is_refused(build):
    (build.web / PACKED_HOME).mkdir()
    assert "choose another one" in await build.refused()
