"""git over ssh from isolated code: by the proxy, with the machine's own ssh, told by a file alone."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from tests.drivers.builders.workspace import Workspace
from tests.drivers.egress.way import Way
from tests.drivers.sources.ssh_server import serve_ssh
from tests.drivers.sources.test_git_source import Repository

pytestmark = [
    pytest.mark.skipif(not sandbox.available(), reason="nothing can run isolated on this machine"),
    pytest.mark.skipif(not shutil.which("ssh", path="/usr/bin:/bin"), reason="there is no ssh on this machine"),
]
WITH_KEY = {"GIT_SSH_COMMAND": "ssh -i key -o UserKnownHostsFile=known_hosts", "GIT_SSH_VARIANT": "ssh"}


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    made = Way(tmp_path / "egress", tmp_path)
    made.names |= {"git.test": [["127.0.0.1"]], "inner.test": [["10.0.0.1"]]}
    yield made
    await made.stop()


async def test_a_build_clones_over_ssh_where_the_operator_allows_it(way: Way, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "served" / "shop")
    repository.commit(app="one")
    with serve_ssh(repository.folder.parent) as server:
        await way.start(everybody=f"127.0.0.0/8:{server.port}")
        workspace = Workspace.below(tmp_path / "w")
        (workspace.tree / "known_hosts").write_text(server.known_hosts.replace("127.0.0.1", "git.test") + "\n")
        (workspace.tree / "key").write_text(server.private_key)
        (workspace.tree / "key").chmod(0o600)
        url = f"ssh://git@git.test:{server.port}/shop/.git"
        step = f"git clone --quiet {url} cloned && test $(cat cloned/app) = one"
        result = await BubblewrapBuilder((tmp_path,), ways=way.sandboxes).run(workspace.request(step, env=WITH_KEY))
    assert result.exit_code == 0, result.tail
    assert way.asked == ["git.test"], "it was looked up by the proxy alone"


async def test_a_host_that_is_not_allowed_is_named_in_the_builds_log(way: Way, tmp_path: Path) -> None:
    await way.start()
    step = "git clone --quiet git@inner.test:shop.git"
    result = await BubblewrapBuilder((tmp_path,), ways=way.sandboxes).run(Workspace.below(tmp_path / "w").request(step))
    assert result.exit_code != 0
    assert "inner.test:22 is not allowed" in result.tail
    assert "DELIVERY_CODE_EGRESS" in result.tail


async def test_what_is_inside_is_not_asked_for_at_the_proxy(way: Way, tmp_path: Path) -> None:
    await way.start()
    step = "! ssh -o BatchMode=yes -p 9 localhost true"
    result = await BubblewrapBuilder((tmp_path,), ways=way.sandboxes).run(Workspace.below(tmp_path / "w").request(step))
    assert result.exit_code == 0, result.tail
    assert "port 9: Connection refused" in result.tail
    assert way.asked == []
