"""How the worker puts its parts together."""

import shlex
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.folders import remove_tree
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
