"""A whole embedded stack for the end-to-end tests, and applications that are shipped through it."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from examples.client import Accepted, Api, Json, Service
from examples.embedded import EmbeddedStack
from examples.repository import ServiceRepository

OPERATION_SECONDS = 240.0

# One organization has the services of all tests, also where the machine is small; and one instance may be allowed so
# much that a few of them fill another organization (`tests/e2e/test_quota.py`).
ROOM = {
    "DELIVERY_INSTANCES_PER_ORGANIZATION": "200",
    "DELIVERY_INSTANCE_MEMORY_MB": "65536",
    "DELIVERY_INSTANCE_MEMORY_MB_PER_ORGANIZATION": "262144",
    "DELIVERY_INSTANCE_DISK_MB_PER_ORGANIZATION": "2097152",
    "DELIVERY_MEMORY_MB_PER_ORGANIZATION": "65536",
    "DELIVERY_DISK_MB_PER_ORGANIZATION": "1048576",
    "DELIVERY_PROCESSES_PER_ORGANIZATION": "16384",
    # Hundreds of tiny services are shipped: what looks through sources has tests of its own.
    "DELIVERY_SCANNERS": "none",
}

# What makes the examples quick to deploy; everything else stays as their delivery.yaml says. Whoever expects a version
# that never gets healthy says how long to wait for it (`UNWELL`): a good one may need long on a busy machine.
QUICK: dict[str, Any] = {
    "test": {"command": None, "report": None},
    "service": {
        "replicas": 1,
        "health": {"interval": 0.1, "startup_timeout": 90},
        "drain_timeout": 2,
    },
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
}
UNWELL: dict[str, Any] = {"service": {"health": {"startup_timeout": 8}}}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` replaced, section by section; a None removes the key."""
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, Mapping):
            out[key] = merge(out.get(key, {}), value)
        else:
            out[key] = value
    return out


@dataclass(frozen=True)
class Begun:
    """A build-and-deploy that was accepted."""

    version: str
    commit: str
    accepted: Accepted


@dataclass(frozen=True)
class Shipped:
    """A finished build-and-deploy."""

    version: str
    commit: str
    operation: Json
    deployment: Json

    @property
    def succeeded(self) -> bool:
        return (self.operation["status"], self.deployment["status"]) == ("completed", "success")

    @property
    def error(self) -> Json:
        """Code, message and details of a failed operation."""
        assert self.operation["status"] == "failed", self.operation
        error: Json = self.operation["error"]
        return error


class Platform:
    """The stack, and an organization in it. `restart` stops and starts it on the same data."""

    def __init__(self, data_dir: Path, repositories: Path, environment: Mapping[str, str] | None = None) -> None:
        self._repositories = repositories
        self._services: dict[tuple[str, str], Service] = {}
        self.stack = EmbeddedStack(data_dir, {**ROOM, **(environment or {})})
        try:
            self.stack.up()
            self.api = self._connect()
            self.organization = self.api.create_organization("acme")
        except BaseException:
            self.stack.down()  # nobody has it, to close it
            raise

    def _connect(self) -> Api:
        return Api(self.stack.addresses["api"], self.stack.token())

    def log_in(self) -> None:
        """Anew: with another token, on another connection."""
        self.api.close()
        self.api = self._connect()

    def restart(self) -> None:
        """Stop everything in order and start it again."""
        self.close_connections()
        self.stack.down()
        self.start()

    def start(self) -> None:
        """Start the stack again on the same data."""
        self.stack.up()
        self.api = self._connect()

    def close(self) -> None:
        """Stop everything, the services too."""
        self.close_connections()
        self.stack.down()
        self.stack.end_instances()

    def close_connections(self) -> None:
        """Let go of a stack that is about to stop."""
        self.api.close()
        for service in self._services.values():
            service.close()
        self._services.clear()

    def service(self, url: str) -> Service:
        """The service at an environment's address."""
        key = (url, self.stack.addresses["ingress"])
        if key not in self._services:
            self._services[key] = Service(*key)
        return self._services[key]

    def app(self, slug: str, example: str = "hello-python", *, organization: Json | None = None) -> "App":
        """A new project with a repository of its own, made from an example; `organization`: another one than ours."""
        return App(self, slug, ServiceRepository(self._repositories / slug, example), organization=organization)


class App:
    """One project and its one feature."""

    def __init__(
        self,
        platform: Platform,
        slug: str,
        repository: ServiceRepository,
        url: str | None = None,
        *,
        organization: Json | None = None,
    ) -> None:
        self._platform = platform
        self._versions = (f"1.0.{number}" for number in itertools.count())
        self._spec: dict[str, Any] = yaml.safe_load(repository.read("delivery.yaml"))
        self.repository = repository
        home = organization or platform.organization
        self.project = self.api.create_project(home["id"], slug, url or repository.url)
        self.feature = self.api.create_feature(self.project["id"], slug)

    @property
    def api(self) -> Api:
        return self._platform.api

    def spec(self, **over: Any) -> str:
        """The example's delivery.yaml made quick, with sections changed."""
        return yaml.safe_dump(merge(merge(self._spec, QUICK), over), sort_keys=False)

    def begin(
        self,
        *,
        fault: str = "none",
        files: Mapping[str, str | None] | None = None,
        spec: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Begun:
        """Commit the next version, ask for its build and deployment, do not wait.

        Args:
            fault: the example's fault switch.
            files: other files of the commit; later commits keep them, except delivery.yaml.
            spec: sections of delivery.yaml that differ for this version.
            options: fields of the request.
        """
        version = next(self._versions)
        commit = self.repository.commit(
            version, fault=fault, files={"delivery.yaml": self.spec(**(spec or {})), **(files or {})}
        )
        return Begun(version, commit, self.api.build_and_deploy(self.feature["id"], version, **options))

    def ship(self, **options: Any) -> Shipped:
        """`begin`, and wait for the end, whichever it is."""
        begun = self.begin(**options)
        operation = self.api.wait(begun.accepted.operation_id, OPERATION_SECONDS)
        return Shipped(begun.version, begun.commit, operation, self.api.deployment(begun.accepted.deployment_id))

    def ship_good(self, **options: Any) -> Shipped:
        """`ship`, and fail with the operation's error unless it succeeded."""
        shipped = self.ship(**options)
        assert shipped.succeeded, (shipped.operation, shipped.deployment)
        return shipped

    @property
    def service(self) -> Service:
        """The service in `dev`, through the ingress."""
        return self._platform.service(self.api.environment(self.project["id"])["url"])

    def serves(self, version: str = "", *, times: int = 10) -> bool:
        """Whether it answers well, and this version, so many times in a row.

        To be waited for (`until`) after something was killed: one answer may be the last one of what dies, or come from
        the one instance of several that is there already.
        """
        try:
            answers = [self.service.get("/version") for _ in range(times)]
        except (httpx2.HTTPError, OSError):
            return False
        if {answer.status_code for answer in answers} != {httpx2.codes.OK}:
            return False
        return not version or {answer.json()["version"] for answer in answers} == {version}
