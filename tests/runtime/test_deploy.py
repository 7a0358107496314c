"""What can be said of the production files without pulling images."""

import json
import os
import re
import secrets
import shutil
import stat
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy.engine import make_url
from temporalio.testing import WorkflowEnvironment

from domain.errors import DependencyError
from drivers import seccomp
from runtime import readiness, startup_checks
from runtime.settings import ROOT, Settings
from runtime.stack import binaries
from runtime.stack.postgres import Postgres
from runtime.stack.process import Process
from runtime.temporal import check_temporal, connect_temporal
from tests.compose.engine import secrets_shown
from tests.support.tls_proxy import tls_proxy

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
START_LIMIT_S = 120.0


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
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] != "unless-stopped"
            assert wanted["condition"] != "service_completed_successfully" or ends, (name, other)
            assert wanted["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], (name, other)


def test_what_serves_comes_back_and_what_prepares_is_tried_again():
    for name, service in SERVICES.items():
        prepares = name in {"databases", "temporal-schema", "temporal-setup", "migrations", "ingress-setup"}
        assert service["restart"] == ("on-failure:5" if prepares else "unless-stopped")
        assert service["logging"]["driver"] == "local"  # the default one keeps everything
        assert "healthcheck" in service or prepares or name == "temporal-ui"


@pytest.mark.parametrize("name", ["worker", "egress"])
def test_a_file_that_a_killed_process_left_makes_nobody_healthy(tmp_path: Path, name: str):
    """In a container the next process has the pid of the one before it."""
    how, words = SERVICES[name]["healthcheck"]["test"]
    assert how == "CMD-SHELL"
    file = tmp_path / "run" / f"{name}.ready"
    assert file.name in {Settings().worker_ready_file.name, Settings().egress_ready_file.name}

    def is_healthy() -> bool:
        line = words.replace("$$", "$").replace("/data/", f"{tmp_path}/")
        return subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=240, check=False).returncode == 0

    assert not is_healthy()  # no file
    with readiness.told(file):
        assert is_healthy()
        told = file.read_text()
    assert not is_healthy()
    pid, _, began = told.partition(" ")
    for left in (f"{pid} {int(began) - 1}\n", f"{pid}\n", pid, "", f"{2**22 + 1} {began}"):
        file.write_text(left)
        assert not is_healthy(), left
        assert readiness.fault(file, int(pid)), left


def test_no_key_stands_twice():
    with pytest.raises(ValueError, match="'a'"):
        yaml.load("a: 1\na: 2\n", Strict)  # noqa: S506 - of SafeLoader
    for file in (ROOT / "deploy").glob("*.yaml"):
        assert load(file.name)


def networks(name: str) -> set[str]:
    """Of a service. None is in the network of another one: when that is started again, it would be cut off."""
    service = SERVICES[name]
    assert service.get("network_mode", "none") == "none"
    return set(service.get("networks", ()))


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """What a container finds below /run/secrets, and which secret that is."""
    given = [{"source": each, "target": each} if isinstance(each, str) else each for each in service.get("secrets", ())]
    return {each["target"]: each["source"] for each in given}


def on(network: str) -> set[str]:
    return {name for name in SERVICES if network in networks(name)}


def test_temporal_and_postgresql_are_on_networks_of_their_own():
    assert on("records") == {"postgres", "databases", "temporal-schema", "temporal", "migrations", "api", "worker"}
    assert on("workflows") == {"temporal", "temporal-setup", "temporal-ui", "api", "worker"}
    assert on("outside") == {"temporal-ui", "api", "ingress", "worker"}
    assert on("strangers") == {"egress"}
    assert all(COMPOSE["networks"][name]["internal"] for name in ("records", "workflows"))
    for name in ("postgres", "temporal"):
        assert "ports" not in SERVICES[name]
    assert set(COMPOSE["networks"]) == {network for name in SERVICES for network in networks(name)}


def test_temporal_lets_nobody_in_without_a_certificate():
    temporal = SERVICES["temporal"]["environment"]
    assert temporal["TEMPORAL_TLS_REQUIRE_CLIENT_AUTH"] == "true"
    assert temporal["TEMPORAL_TLS_CLIENT1_CA_CERT"] == "/run/secrets/client_ca"


def test_each_secret_is_with_whom_it_is_for():
    engine, tools = {"api", "worker", "migrations"}, {"databases"}
    holders = {
        **dict.fromkeys(("engine_key", "jwt", "encryption_keys", "codec_keys", "database_url"), engine),
        "temporal_ui_key": {"temporal-ui"},
        "temporal_key": {"temporal"},
        "temporal_setup_key": {"temporal-setup"},
        "postgres_password": {"postgres", *tools},
        "engine_database_password": tools,
        "temporal_database_password": {"temporal", "temporal-schema", *tools},
    }
    for key, who in holders.items():
        assert {name for name, service in SERVICES.items() if key in secrets_of(service).values()} == who
    for name, service in SERVICES.items():
        words = [*(service.get("environment") or {}).values(), *service.get("command", ())]
        named = {found for word in words for found in re.findall(r"/run/secrets/(\w+)", str(word))}
        assert named <= secrets_of(service).keys(), name


def test_no_secret_is_in_an_environment():
    """Whoever may look at containers (`docker inspect`) sees that."""
    files = {"TEMPORAL_TLS_KEY", "TEMPORAL_TLS_SERVER_KEY", "TEMPORAL_TLS_FRONTEND_KEY"}  # names of files
    secret = re.compile(r"(PASSWORD|PWD|_KEYS?|_SECRET|DATABASE_URL)$")
    for name, service in SERVICES.items():
        set_here = service.get("environment") or {}
        assert {variable for variable in set_here if secret.search(variable)} <= files, name


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


def test_one_go_makes_temporal_s_namespace_and_its_attributes(temporal_env: WorkflowEnvironment):
    """Parts of the server hear of a new namespace some seconds after it was made."""
    _, _, script = SERVICES["temporal-setup"]["command"][0].partition("export TEMPORAL_ADDRESS\n")
    name = f"made-{secrets.token_hex(4)}"
    words = ["/bin/sh", "-euc", script.replace("$$", "$").replace("--namespace default", f"--namespace {name}")]
    target = temporal_env.client.service_client.config.target_host
    programs = f"{binaries.temporal(Settings()).parent}:{os.environ['PATH']}"
    for _ in range(2):
        done = subprocess.run(
            words,
            env={**os.environ, "TEMPORAL_ADDRESS": target, "PATH": programs},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "have been added" not in done.stdout  # the second go finds them


def test_volumes_and_secrets_are_declared():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == COMPOSE["volumes"].keys()
    assert {name for service in SERVICES.values() for name in secrets_of(service).values()} == COMPOSE["secrets"].keys()


def test_the_scripts_make_the_files_of_the_secrets(certificates: Path, passwords: Path):
    folders = {"${SECRETS_DIR:-./secrets}": passwords, "${TEMPORAL_TLS_DIR:-./tls}": certificates}
    for secret in COMPOSE["secrets"].values():
        folder, _, name = secret["file"].rpartition("/")
        assert (folders[folder] / name).is_file()


def test_the_compose_check_notices_a_key_in_what_docker_inspect_shows(certificates: Path, passwords: Path):
    files = [*passwords.iterdir(), *certificates.glob("*.key")]
    assert secrets_shown({"Env": ["A=B"]}, files) == []
    for file in files:
        if text := file.read_text():  # the UI's secret is somebody else's to give
            assert file.name in secrets_shown({"Env": [f"A={text}"]}, files)


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("passwords") / "secrets"
    script = ROOT / "deploy" / "secrets.sh"
    subprocess.run(["/bin/sh", script, folder], check=True, timeout=240)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "engine_database_password").unlink()  # that is how somebody asks for another one
    subprocess.run(["/bin/sh", script, folder], check=True, timeout=240)
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in after if before.get(name) != after[name]} == {"engine_database_password", "database_url"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    return folder


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(short_dir: Path) -> Iterator[Postgres]:
    """A server of its own: the roles of the others are not touched."""
    folder = short_dir / "deploy"
    folder.mkdir()
    server = Postgres(binaries.postgres_dir(Settings()), folder, folder, folder, folder / "log", configuration=FAST)
    server.prepare()
    server.clear()
    process = Process(server.command(), folder / "postgres.json")
    process.start()
    try:
        wait_for(lambda: server.probe(process.pid or 0) is None)
        yield server
    finally:
        process.stop()


def prepare(cluster: Postgres, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the service `databases` does."""
    url = cluster.admin_url().replace("+psycopg", "")
    words = [binaries.postgres_dir(Settings()) / "psql", "--no-psqlrc", "--quiet", f"--dbname={url}"]
    return subprocess.run(
        [*words, f"--file={ROOT / 'deploy' / 'databases.sql'}"],
        env={**os.environ, "SECRETS_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def login(cluster: Postgres, role: str, database: str, password: str) -> psycopg.Connection[Any]:
    parts = make_url(cluster.admin_url()).set(
        drivername="postgresql", username=role, password=password, database=database
    )
    return psycopg.connect(parts.render_as_string(hide_password=False), autocommit=True, connect_timeout=20)


def test_the_engine_and_temporal_have_databases_of_their_own(cluster: Postgres, passwords: Path):
    for _ in range(2):
        done = prepare(cluster, passwords)
        assert (done.returncode, done.stderr) == (0, "")
    ours = (passwords / "engine_database_password").read_text().strip()
    theirs = (passwords / "temporal_database_password").read_text().strip()
    own = {"delivery": ("delivery",), "temporal": ("temporal", "temporal_visibility")}
    everything = {"delivery", "temporal", "temporal_visibility", "postgres", "template1"}
    for role, password in (("delivery", ours), ("temporal", theirs)):
        for database in own[role]:
            with login(cluster, role, database, password) as connection:
                connection.execute("CREATE TABLE kept (id int)")
                connection.execute("CREATE EXTENSION btree_gin")  # Temporal's schema does
                row = connection.execute(
                    "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles "
                    "WHERE rolname = current_user"
                ).fetchone()
                assert row == (False,) * 5
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SELECT rolpassword FROM pg_authid")
        for database in everything - set(own[role]):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                login(cluster, role, database, password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(cluster, "temporal", "temporal", ours)


def test_another_password_is_the_role_s_at_the_next_start(cluster: Postgres, passwords: Path, tmp_path: Path):
    for name in ("engine_database_password", "temporal_database_password"):
        (tmp_path / name).write_text(secrets.token_hex(24) + "\n")
    assert prepare(cluster, tmp_path).returncode == 0
    login(cluster, "delivery", "delivery", (tmp_path / "engine_database_password").read_text().strip()).close()
    (tmp_path / "temporal_database_password").write_text("")
    done = prepare(cluster, tmp_path)
    assert done.returncode != 0
    assert "deploy/secrets.sh makes them" in done.stderr


def test_only_settings_that_exist_are_set():
    known = {f"DELIVERY_{name.upper()}" for name in Settings.model_fields}
    services = [service.get("environment") or {} for service in SERVICES.values()]
    set_here = {name for each in services for name in each if name.startswith("DELIVERY_")}
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


def test_the_image_has_all_of_our_code_and_its_bytecode():
    """The containers' roots are read-only: what is not compiled here, every process compiles again."""
    lines = (ROOT / "deploy" / "Containerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \w+$", lines, re.MULTILINE))
    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"])
    assert copied == packages
    compiled = re.search(r"compileall (?:-\S+ (?:\d )?)*(.+)$", lines, re.MULTILINE)
    assert compiled
    assert set(compiled[1].split()) == {*packages, "./*.py"}


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`DELIVERY_{name.upper()}`" not in page]
    assert missing == []


def test_what_the_compose_file_sets_passes_the_guards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passwords: Path, certificates: Path
):
    words = {
        "PUBLIC_URL": "https://delivery.example.com",
        "TEMPORAL_UI_URL": "https://temporal.example.com",
        "ADMIN_EMAIL": "ada@example.com",
        "HOST_SUFFIX": "apps.example.com",
    }
    environment = COMPOSE["x-engine"]["environment"]
    for name, value in environment.items():
        monkeypatch.setenv(name, re.sub(r"\$\{([A-Z_]+)[^}]*\}", lambda match: words.get(match[1], ""), value))
    files = tmp_path / "run-secrets"
    files.mkdir()
    for target, source in secrets_of(COMPOSE["x-engine"]).items():
        folder, _, name = COMPOSE["secrets"][source]["file"].rpartition("/")
        shutil.copy((passwords if "SECRETS_DIR" in folder else certificates) / name, files / target)
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(files))
    inside = {"jwt_private_key_file": files / "jwt", "temporal_tls_key_file": files / "engine_key"}
    settings = Settings(**{**inside, "data_dir": tmp_path})
    assert startup_checks.faults(settings, startup_checks.API) == []
    assert settings.database_url.get_secret_value() == (passwords / "database_url").read_text().strip()


def test_the_ui_is_behind_single_sign_on_and_only_looks():
    ui = SERVICES["temporal-ui"]["environment"]
    assert (ui["TEMPORAL_AUTH_ENABLED"], ui["TEMPORAL_DISABLE_WRITE_ACTIONS"]) == ("true", "true")
    assert (ui["TEMPORAL_CODEC_PASS_ACCESS_TOKEN"], ui["TEMPORAL_CODEC_ENDPOINT"][-15:]) == ("true", "/temporal/codec")


def test_only_the_worker_may_make_namespaces_and_none_is_privileged():
    for name, service in SERVICES.items():
        assert not service.get("privileged"), name
        assert not service.get("cap_add"), name
        more = [] if name != "worker" else ["seccomp=seccomp.json", "systempaths=unconfined", "apparmor=unconfined"]
        assert service["security_opt"] == ["no-new-privileges:true", *more], name
        # the image of PostgreSQL begins as root and becomes another user
        assert service.get("cap_drop") == (None if name == "postgres" else ["ALL"]), name


def test_the_worker_s_system_calls_are_those_of_its_sandbox_and_what_makes_one():
    profile = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
    refused = {name for rule in profile["syscalls"] for name in rule["names"] if "args" not in rule}
    by_arguments = {"clone", "unshare", "ioctl", "fcntl", "socket", "socketpair", "personality"}
    needed = {"mount", "umount2", "pivot_root", "sethostname"}
    for machine in ("x86_64", "aarch64"):
        assert set(seccomp.calls(machine)) - by_arguments - needed <= refused
    assert not refused & (by_arguments | needed)


def test_the_worker_keeps_its_name():
    """Its own queue is named after its host: work that waits for this data folder waits there."""
    assert SERVICES["worker"]["hostname"] == "worker"
