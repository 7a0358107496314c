"""What can be said of the production files without pulling images."""

import base64
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.testing import WorkflowEnvironment

from domain.errors import DependencyError
from runtime import guards
from runtime.keys import ensure_key
from runtime.settings import ROOT, Settings
from runtime.temporal import check_temporal, connect_temporal
from tests.support.tls_proxy import tls_proxy


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: the second one wins without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"twice in one mapping: {sorted(map(str, twice))}, {node.start_mark}")
        return super().construct_mapping(node, deep)


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / "deploy" / name).read_text(), Strict)  # noqa: S506 - of SafeLoader
    return loaded


COMPOSE = load("compose.yaml")
SERVICES = COMPOSE["services"]


def test_the_parts_are_there_and_wait_for_each_other():
    assert {"postgres", "temporal", "temporal-ui", "ingress", "migrations", "api", "worker"} <= SERVICES.keys()
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()


def test_no_key_stands_twice():
    with pytest.raises(ValueError, match="'a'"):
        yaml.load("a: 1\na: 2\n", Strict)  # noqa: S506 - of SafeLoader
    for file in (ROOT / "deploy").glob("*.yaml"):
        assert load(file.name)


def networks(name: str) -> set[str]:
    """Of a service; of one that shares another's, the other's."""
    service = SERVICES[name]
    shared = service.get("network_mode", "")
    if shared.startswith("service:"):
        return networks(shared.removeprefix("service:"))
    return set() if shared == "none" else set(service["networks"])


def on(network: str) -> set[str]:
    return {name for name in SERVICES if network in networks(name)}


def test_temporal_and_postgresql_are_on_networks_of_their_own():
    assert on("records") == {"postgres", "temporal", "migrations", "api", "ingress", "worker"}
    assert on("workflows") == {"temporal", "temporal-setup", "temporal-ui", "api", "ingress", "worker"}
    assert on("outside") == {"temporal-ui", "api", "ingress", "worker"}
    assert all(COMPOSE["networks"][name]["internal"] for name in ("records", "workflows"))
    for name in ("postgres", "temporal"):
        assert "ports" not in SERVICES[name]
    assert set(COMPOSE["networks"]) == {network for name in SERVICES for network in networks(name)}


def test_temporal_lets_nobody_in_without_a_certificate():
    temporal = SERVICES["temporal"]["environment"]
    assert temporal["TEMPORAL_TLS_REQUIRE_CLIENT_AUTH"] == "true"
    holders = {"engine_key": {"api", "worker", "migrations", "ingress-setup"}, "temporal_ui_key": {"temporal-ui"}}
    holders |= {"temporal_key": {"temporal"}, "temporal_setup_key": {"temporal", "temporal-setup"}}
    for key, who in holders.items():
        assert {name for name, service in SERVICES.items() if key in service.get("secrets", ())} == who
    used = {str(value) for service in SERVICES.values() for value in (service.get("environment") or {}).values()}
    for path in (value for value in used if value.startswith("/run/secrets/")):
        assert path.removeprefix("/run/secrets/") in COMPOSE["secrets"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for _ in range(2):  # the second time renews what the authorities signed
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        subprocess.run(["/bin/sh", ROOT / "deploy" / "certificates.sh", folder], check=True, timeout=240)
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    same = {name for name, content in after.items() if before[name] == content}
    assert same == {f"{name}-ca.{end}" for name in ("server", "client") for end in ("key", "pem")}
    return folder


@pytest.fixture(scope="module")
def guarded(temporal_env: WorkflowEnvironment, certificates: Path) -> Iterator[int]:
    """A Temporal that wants what `certificates.sh` made: Envoy asks in its place, as the dev server cannot."""
    folder = certificates / "proxy"
    folder.mkdir()
    for given, name in (("client-ca.pem", "ca.pem"), ("temporal.pem", "server.pem"), ("temporal.key", "server.key")):
        shutil.copyfile(certificates / given, folder / name)
    upstream = int(temporal_env.client.service_client.config.target_host.rpartition(":")[2])
    with tls_proxy(folder, upstream) as (mutual, _):
        yield mutual


async def test_the_engine_gets_in_with_the_certificates_that_the_script_makes(certificates: Path, guarded: int):
    files = {name.removeprefix("DELIVERY_").lower() for name in COMPOSE["x-engine"]["environment"]}
    assert {"temporal_tls_ca_file", "temporal_tls_cert_file", "temporal_tls_key_file"} <= files
    settings = Settings(
        temporal_address=f"127.0.0.1:{guarded}",
        temporal_tls_server_name="temporal",
        temporal_tls_ca_file=certificates / "server-ca.pem",
        temporal_tls_cert_file=certificates / "engine.pem",
        temporal_tls_key_file=certificates / "engine.key",
    )
    await check_temporal(await connect_temporal(settings), settings, 20)
    bare = {"temporal_tls_cert_file": None, "temporal_tls_key_file": None}
    node = {  # a node's own certificate is of the other authority
        "temporal_tls_cert_file": certificates / "temporal.pem",
        "temporal_tls_key_file": certificates / "temporal.key",
    }
    for other in (bare, node):
        with pytest.raises(DependencyError, match="credentials"):
            await connect_temporal(settings.model_copy(update=other))


def test_volumes_and_secrets_are_declared():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == COMPOSE["volumes"].keys()
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == COMPOSE["secrets"].keys()
    script = (ROOT / "deploy" / "certificates.sh").read_text()
    for secret in COMPOSE["secrets"].values():
        stem = Path(secret["file"]).name.removesuffix("}").removesuffix(".pem").removesuffix(".key")
        assert stem == "jwt" or f"issue {stem} " in script or f"authority {stem.removesuffix('-ca')}\n" in script


def test_only_settings_that_exist_are_set():
    known = {f"DELIVERY_{name.upper()}" for name in Settings.model_fields}
    set_here = set(COMPOSE["x-engine"]["environment"])
    set_here |= set(re.findall(r"DELIVERY_[A-Z_]+", (ROOT / "deploy" / "Containerfile").read_text()))
    assert set_here <= known


def test_every_variable_has_a_line_in_the_example():
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "deploy" / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "env.example").read_text(), re.MULTILINE))
    assert used == given


def test_the_image_copies_folders_that_exist():
    copied = re.findall(r"^COPY (\S+)", (ROOT / "deploy" / "Containerfile").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text()
    assert all(f"!{name}\n" in ignored for name in copied)


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`DELIVERY_{name.upper()}`" not in page]
    assert missing == []


def test_what_the_compose_file_sets_passes_the_guards(tmp_path):
    ensure_key(tmp_path / "jwt.pem")
    words = {
        "PUBLIC_URL": "https://delivery.example.com",
        "TEMPORAL_UI_URL": "https://temporal.example.com",
        "ADMIN_EMAIL": "ada@example.com",
    }

    def fill(match: re.Match[str]) -> str:
        if match[1].endswith("_KEYS"):
            return base64.b64encode(secrets.token_bytes(32)).decode()
        return words.get(match[1], secrets.token_hex(24))

    given = {
        name.removeprefix("DELIVERY_").lower(): re.sub(r"\$\{([A-Z_]+)[^}]*\}", fill, value)
        for name, value in COMPOSE["x-engine"]["environment"].items()
    }
    (tmp_path / "engine.key").write_bytes(b"key")
    (tmp_path / "engine.key").chmod(0o600)
    files = {"jwt_private_key_file": tmp_path / "jwt.pem", "temporal_tls_key_file": tmp_path / "engine.key"}
    settings = Settings(**{**given, **files, "data_dir": tmp_path})
    assert guards.faults(settings, guards.API) == []


def test_the_ui_is_behind_single_sign_on_and_only_looks():
    ui = SERVICES["temporal-ui"]["environment"]
    assert (ui["TEMPORAL_AUTH_ENABLED"], ui["TEMPORAL_DISABLE_WRITE_ACTIONS"]) == ("true", "true")
    assert (ui["TEMPORAL_CODEC_PASS_ACCESS_TOKEN"], ui["TEMPORAL_CODEC_ENDPOINT"][-15:]) == ("true", "/temporal/codec")
