"""How the worker puts its parts together."""

import shlex
import sys
from pathlib import Path

import pytest

import worker
from drivers import isolation, sandbox
from drivers.bridge import network, program
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.folders import remove_tree
from drivers.scanners.advisories import NoAdvisories
from drivers.scanners.mirror.advisories import MirrorAdvisories
from drivers.scanners.osv_service import OsvService
from runtime.settings import Settings
from tests.drivers.builders.workspace import Workspace
from worker import hidden_from_builds

NAMES = ("jwt_private_key_file", "temporal_tls_key_file", "envoy_admin_socket")


@pytest.mark.skipif(not sandbox.available(), reason="bubblewrap does not work on this machine")
async def test_builds_see_no_key_and_no_socket_of_ours_wherever_they_are(tmp_path):
    """They are outside of the data folder, and below nothing that the sandbox hides by itself."""
    place = Path(__file__).parent / f".keys-{tmp_path.name}"
    place.mkdir(mode=0o700)
    try:
        paths = {name: place / name for name in NAMES}
        for path in paths.values():
            path.write_text("PRIVATE")
        builder = BubblewrapBuilder(hidden_from_builds(Settings(data_dir=tmp_path, **paths)))
        steps = [f"test ! -s {shlex.quote(str(path))}" for path in paths.values()]
        result = await builder.run(Workspace.below(tmp_path / "w").request(*steps))
        assert result.exit_code == 0, result.tail
    finally:
        remove_tree(place)


@pytest.mark.parametrize("missing", ["sandbox", "network"])
def test_a_worker_that_cannot_isolate_untrusted_code_does_not_start(monkeypatch, capsys, tmp_path, missing):
    monkeypatch.setattr(getattr(isolation, missing), "available", lambda: False)
    monkeypatch.setattr(worker, "get_settings", lambda: Settings(data_dir=tmp_path, trusted_code=False))
    monkeypatch.setattr(sys, "argv", ["worker"])
    assert worker.main() == 2
    assert "allow user namespaces" in capsys.readouterr().err


def test_nor_one_without_a_bridge(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(program, "path", lambda: tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(worker, "get_settings", lambda: Settings(data_dir=tmp_path, trusted_code=False))
    monkeypatch.setattr(sys, "argv", ["worker"])
    for cache in (program.program, network.available):
        cache.cache_clear()
    try:
        assert worker.main() == 2
    finally:
        for cache in (program.program, network.available):
            cache.cache_clear()
    assert "install a C compiler" in capsys.readouterr().err


async def test_advisories_come_from_a_mirror_a_service_or_nowhere(tmp_path):
    settings = {
        NoAdvisories: {},
        MirrorAdvisories: {"advisories_dir": tmp_path},
        OsvService: {"advisories_url": "https://osv.example", "advisories_private": "@acme/*, com.acme:*"},
    }
    for kind, values in settings.items():
        chosen = worker.select_advisories(Settings(data_dir=tmp_path, **values))
        assert type(chosen) is kind
        await chosen.close()
    with pytest.raises(ValueError, match="set one of them"):
        Settings(advisories_dir=tmp_path, advisories_url="https://osv.example")


@pytest.mark.parametrize(
    "url", ["osv.example", "ftp://osv.example", "https://user:password@osv.example", "https://osv.example/?key=1"]
)
def test_a_service_of_advisories_has_a_plain_address(url):
    with pytest.raises(ValueError, match="must"):
        Settings(advisories_url=url)
