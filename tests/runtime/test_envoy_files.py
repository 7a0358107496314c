"""Envoy's files are derived: before each start whatever is missing of them is written again."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.settings import Settings
from runtime.stack.envoy import Envoy

FILES = ("bootstrap.json", "cds.json", "rds.json")


@pytest.fixture
def envoy(tmp_path: Path, short_dir: Path):
    made = Envoy(
        binary=tmp_path / "envoy",
        python=sys.executable,
        config_dir=tmp_path / "envoy config",
        admin_socket=short_dir / "files" / "s" / "admin.sock",
        host="127.0.0.1",
        port=1,
        log=tmp_path / "envoy.log",
        access_log=tmp_path / "access.log",
        trusted_proxies="",
        trusted_hops=1,
    )
    made.prepare()
    return made


@pytest.mark.parametrize("lost", [*FILES, "all", "folder", "half"])
def test_a_restart_finds_all_files_whatever_was_lost(envoy, lost):
    routes = (envoy.config_dir / "rds.json").read_text()
    match lost:
        case "folder":
            shutil.rmtree(envoy.config_dir)
        case "half":
            (envoy.config_dir / "bootstrap.json").write_text('{"half')
        case _:
            for name in FILES if lost == "all" else [lost]:
                (envoy.config_dir / name).unlink()
    envoy.clear()
    assert all(json.loads((envoy.config_dir / name).read_text()) for name in FILES)
    assert (envoy.config_dir / "rds.json").read_text() == routes


def test_a_restart_leaves_routes_that_are_there_alone(envoy):
    routes = envoy.config_dir / "rds.json"
    routes.write_text("{}")
    (envoy.config_dir / "cds.json").unlink()
    envoy.clear()
    assert routes.read_text() == "{}"


@pytest.mark.parametrize("suffix", ["localhost", "apps.example.com", "a" * 63, "a.b.c"])
def test_hosts_may_end_on_a_name(suffix):
    assert Settings(host_suffix=suffix).host_suffix == suffix


@pytest.mark.parametrize(
    "suffix", ["", "Apps.example", "a b", ".example", "example.", "-a", "a_b", "*", "a" * 64, "a." * 90 + "a"]
)
def test_what_would_make_every_host_of_the_router_invalid_is_refused_at_the_start(suffix):
    with pytest.raises(ValidationError, match="host_suffix"):
        Settings(host_suffix=suffix)
