"""`make compose-check`: deploy/compose.yaml for real, from nothing to deliveries that outlive every container.

Needs a container engine with Compose, and the images (those that are not here are pulled; the engine's is built). Exit
status: 0 all as it must be, 1 something is not, 2 there is no container engine here.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from examples.client import Service
from tests.compose.engine import GIT, INGRESS_PORT, CheckError, ComposedEngine, await_that, missing, secrets_shown

HERE = Path(__file__).resolve().parent
SERVING = ("postgres", "temporal", "api", "ingress", "egress", "worker")
OPERATION_SECONDS = 600.0
SERVICE_URL = "https://dev.hello.check.apps.example.com"
PORTS = {
    "postgres": ("records", 5432),
    "temporal": ("workflows", 7233),
    "api": ("outside", 8080),
    "worker": ("outside", 22),
}
GIT_COMMAND = ("git", "-c", "user.name=Check", "-c", "user.email=check@example.com", "-c", "commit.gpgsign=false")


class Repository:
    """Of the service that tries to reach the engine's parts; `serve.py` serves it over https."""

    def __init__(self, root: Path, work: Path) -> None:
        self._bare, self._work = root / "service.git", work
        shutil.copytree(HERE / "service", work)
        self._git("init", "--quiet", "--initial-branch=main")
        subprocess.run(["git", "init", "--quiet", "--bare", self._bare], check=True, timeout=60)

    def commit(self, version: str, places: dict[str, tuple[str, int]]) -> None:
        (self._work / "VERSION").write_text(version)
        (self._work / "places.json").write_text(json.dumps(places))
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", version)
        self._git("push", "--quiet", str(self._bare), "main")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT_COMMAND, "-C", str(self._work), *words], check=True, timeout=60)


class Check:
    """One run, on containers that it made."""

    def __init__(self, engine: ComposedEngine, folder: Path, *, build: bool) -> None:
        self._engine = engine
        self._folder = folder
        self._build = build
        self._began = time.monotonic()
        self._count = 0

    def run(self) -> None:
        """The story; raises `CheckError` where it is not as it must be."""
        self._come_up()
        self._look_at_containers()
        self._api = self._engine.api()
        self._repository = Repository(self._engine.repository, self._folder / "work")
        self._places = self._addresses()
        organization = self._api.create_organization("check")
        url = f"https://{GIT}:8443/service.git"
        self._project = self._api.create_project(organization["id"], "hello", url)["id"]
        self._feature = self._api.create_feature(self._project, "hello")["id"]
        self._deliver("the first delivery")
        url = self._api.environment(self._project)["url"]
        if url != SERVICE_URL:
            raise CheckError(f"the service's address is said to be {url}, not {SERVICE_URL}")
        self._look_from_inside()
        self._look_between_networks()
        for name in SERVING:
            self._deliver(f"a delivery while {name} is killed", partial(self._kill, name))
        self._deliver("a delivery over `docker compose restart`", lambda: self._compose("restart"))
        self._deliver(
            "a delivery over containers made anew",
            lambda: self._compose("up", "--detach", "--wait", "--force-recreate"),
        )
        self._begin_again()

    def _come_up(self) -> None:
        if self._build:
            self._compose("build")
        self._compose("up", "--detach", "--wait")
        for name in SERVING:
            state = self._engine.inspect(name)["State"]
            if state["Health"]["Status"] != "healthy":
                raise CheckError(f"{name} is {state['Health']['Status']}")
        self._say("everything is healthy")
        first, second = (
            self._compose("run", "--rm", "--no-TTY", "api", "-m", "api.cli", "bootstrap-admin") for _ in range(2)
        )
        if not first.strip() or first == second:
            raise CheckError(f"the first admin: {first!r}, {second!r}")
        self._say("the first admin is made once")

    def _look_at_containers(self) -> None:
        files = [*(self._folder / "secrets").iterdir(), *(self._folder / "tls").glob("*.key")]
        for name in (*SERVING, "databases", "temporal-schema", "temporal-setup", "migrations", "ingress-setup"):
            facts = self._engine.inspect(name)
            if facts["HostConfig"]["Privileged"] or facts["HostConfig"]["CapAdd"]:
                raise CheckError(f"{name} has rights beyond an ordinary container's")
            if shown := secrets_shown(facts, files):
                raise CheckError(f"docker inspect shows {shown} of {name}")
        self._say("no container is privileged; `docker inspect` shows no password and no key")

    def _addresses(self) -> dict[str, tuple[str, int]]:
        places = {}
        for name, (network, port) in PORTS.items():
            places[name] = (self._engine.address(name, network), port)
            places[f"{name} by name"] = (name, port)
        networks = self._engine.inspect("api")["NetworkSettings"]["Networks"].values()
        places["the machine's API port"] = (next(n["Gateway"] for n in networks if n["Gateway"]), 18080)
        places["metadata"] = ("169.254.169.254", 80)
        return places

    def _deliver(self, what: str, meanwhile: Callable[[], object] | None = None) -> None:
        """Build and roll out another version; done when its users get it."""
        self._count += 1
        version = f"1.0.{self._count}"
        self._repository.commit(version, self._places)
        accepted = self._api.build_and_deploy(self._feature, version)
        if meanwhile:
            await_that("the operation runs", lambda: self._api.operation(accepted.operation_id)["status"] != "pending")
            meanwhile()
        done: dict[str, object] = {}

        def is_over() -> bool:
            done.update(self._api.operation(accepted.operation_id))
            return done["status"] in {"completed", "failed", "cancelled"}

        await_that(f"{what} is over", is_over, OPERATION_SECONDS)
        if done["status"] != "completed":
            raise CheckError(f"{what}: {json.dumps(done)[:2000]}")
        await_that(f"{version} is served", lambda: self._service().version() == version)
        self._say(f"{what}: {version} is live")

    def _service(self) -> Service:
        url = self._api.environment(self._project)["url"]
        return Service(url, f"127.0.0.1:{INGRESS_PORT}")

    def _look_from_inside(self) -> None:
        found: dict[str, str] = self._service().get("/reach").raise_for_status().json()
        for name, words in found.items():
            print(f"    {name:<44}{words}")  # noqa: T201 - a command's answer
            if not words.startswith("denied"):
                raise CheckError(f"the service: {name}: {words}")
        self._say(
            f"{len(found)} of {len(found)} ways from the service into the engine denied; the build tried the same"
        )

    def _look_between_networks(self) -> None:
        """What the proxy's own container reaches, which the rules do not bind; and what the worker does."""
        for name in ("postgres", "temporal", "api"):
            host, port = self._places[name]
            code = f"import socket; socket.create_connection(({host!r}, {port}), 5)"
            try:
                self._engine.python("egress", code)
            except CheckError:
                pass
            else:
                raise CheckError(f"the way out reaches {name}")
            self._engine.python("worker", code)
        self._say("PostgreSQL, Temporal and the API are reached by the worker, and not by the way out")

    def _kill(self, name: str) -> None:
        self._compose("kill", name)
        time.sleep(3)  # others are to notice
        self._compose("up", "--detach", "--wait", "--no-recreate", name)

    def _begin_again(self) -> None:
        self._compose("down", "--timeout", "40")
        self._compose("up", "--detach", "--wait")
        await_that("the service is back", lambda: self._service().version() == f"1.0.{self._count}")
        self._say("down and up again: records, artifacts and services are there")

    def _compose(self, *words: str) -> str:
        return self._engine.compose(*words)

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {words}", flush=True)  # noqa: T201 - a command's answer


def main() -> int:
    """Run it; the exit status is for the shell."""
    if lack := missing():
        print(  # noqa: T201 - a command's answer
            f"NOT CHECKED: there is no container engine with Compose here ({lack}). deploy/compose.yaml was not tried.",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="compose-check-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # containers see the repository
        with ComposedEngine(folder) as engine:
            try:
                Check(engine, folder, build="--no-build" not in sys.argv[1:]).run()
            except CheckError as error:
                print(f"FAILED: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
                print(engine.compose("ps", "--all"), engine.compose("logs", "--tail", "40"), file=sys.stderr)  # noqa: T201 - output
                return 1
    print("all as it must be")  # noqa: T201 - a command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
