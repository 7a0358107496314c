"""The delivery engine in two minutes: `make demo`.

Starts the embedded stack (or uses the one that runs on the data folder), ships a small service blue-green, a good
second version by canary and a bad third one (5 % errors) by canary, and checks from outside that the bad one is caught
and that nothing else ever failed. Exits 0 only if all of that really happened. Stops what it started, also on Ctrl-C.
Can be run again on the same data folder.
"""

import os
import secrets
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2

from examples.client import Api, ApiError, Json, Service
from examples.demo_screen import Screen
from examples.embedded import ROOT, EmbeddedStack, StackError
from examples.repository import ServiceRepository
from examples.watcher import USERS, Watcher

OPERATION_SECONDS = 120.0
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}
INTERRUPTED = 130


class DemoError(Exception):
    """A check of the demo failed; the message says which."""


class Demo:
    """One run: a new organization, project and repository each time."""

    def __init__(self, screen: Screen, stack: EmbeddedStack, api: Api) -> None:
        self._screen = screen
        self._stack = stack
        self._api = api
        self._slug = f"demo-{secrets.token_hex(3)}"
        folder = stack.data_dir / "demo-repository"
        shutil.rmtree(folder, ignore_errors=True)
        self._repository = ServiceRepository(folder)

    def run(self) -> None:
        """The steps of the demo; raises `DemoError` when one fails."""
        self._screen.title("A project")
        self._by_hand("delivery deploy --yes   # creates project and feature of the checkout where there are none")
        organization = self._api.create_organization(self._slug)
        project = self._api.create_project(organization["id"], "hello", self._repository.url)
        feature = self._api.create_feature(project["id"], "hello")
        self._screen.good(f"organization {self._slug}, project hello, from {self._repository.url}")

        self._screen.title("Version 1.0.0: the first deployment")
        self._by_hand("delivery deploy 1.0.0 --strategy blue-green --watch")
        self._ship_good(feature["id"], "1.0.0")
        service = self._service(project["id"])
        self._expect_version(service, "1.0.0")

        watcher = Watcher([self._service(project["id"]) for _ in range(USERS)])
        watcher.start()
        try:
            self._screen.title("Version 2.0.0: a canary with half of the traffic, judged against 1.0.0")
            self._by_hand("delivery deploy 2.0.0 --canary 50 --watch")
            self._ship_good(feature["id"], "2.0.0", **CANARY)
            self._expect_version(service, "2.0.0")
            self._screen.title("Version 3.0.0: healthy, but 5 % of its answers are errors")
            self._by_hand("delivery deploy 3.0.0 --canary 50 --watch   # its exit code is 3: rolled back")
            bad_release = self._ship_bad(feature["id"], "3.0.0")
            self._expect_version(service, "2.0.0")
        finally:
            watcher.stop()
        self._check_traffic(watcher, bad_release)

    def _by_hand(self, command: str) -> None:
        """Say which command does the same (docs/tutorial.md)."""
        self._screen.note(f"$ {command}")

    def _ship(self, feature_id: str, version: str, fault: str, **options: Any) -> tuple[Json, Json]:
        """Commit, build and deploy; returns the finished operation and its deployment."""
        commit = self._repository.commit(version, fault=fault)
        accepted = self._api.build_and_deploy(feature_id, version, git_commit_hash=commit, **options)
        with self._screen.following(f"  {version}") as follower:

            def seen(operation: Json) -> None:
                follower.seen(operation, self._api.deployment(accepted.deployment_id)["analysis"])

            operation = self._api.wait(accepted.operation_id, OPERATION_SECONDS, seen)
        return operation, self._api.deployment(accepted.deployment_id)

    def _ship_good(self, feature_id: str, version: str, **options: Any) -> None:
        operation, deployment = self._ship(feature_id, version, "none", **options)
        if operation["status"] != "completed" or deployment["status"] != "success":
            raise DemoError(f"{version} should be live, but: {_why(operation, deployment)}")
        build = self._api.build(deployment["build_id"])
        self._screen.good(f"build {build['build_number']} passed {build['tests_passed']} tests and is live")

    def _ship_bad(self, feature_id: str, version: str) -> str:
        """Ship a version that must be stopped; returns its release."""
        operation, deployment = self._ship(feature_id, version, "errors:5", **CANARY)
        error = operation.get("error") or {}
        if deployment["status"] != "rolled_back" or error.get("code") != "ANALYSIS_FAILED":
            raise DemoError(f"{version} should have been caught and rolled back, but: {_why(operation, deployment)}")
        self._screen.good(f"{version} was caught by the evidence and rolled back")
        self._screen.note(error["message"])
        return str(deployment["id"])

    def _service(self, project_id: str) -> Service:
        return Service(self._api.environment(project_id)["url"], self._stack.addresses["ingress"])

    def _expect_version(self, service: Service, version: str) -> None:
        answered = service.version()
        if answered != version:
            raise DemoError(f"http://{service.host}/ answers version {answered}, not {version}")
        self._screen.good(f"http://{service.host}/ answers version {version}")

    def _check_traffic(self, watcher: Watcher, bad_release: str) -> None:
        """Every request was answered; the only errors are those of the bad version itself."""
        self._screen.title("What the users saw")
        errors = watcher.faulty.total()
        total = watcher.versions.total() + errors + watcher.failed
        if watcher.failed or not total:
            raise DemoError(f"{watcher.failed} of {total} requests failed: {'; '.join(watcher.failures)}")
        if watcher.faulty.keys() - {bad_release}:
            raise DemoError(f"errors came from releases that are good: {dict(watcher.faulty)}")
        if not {"1.0.0", "2.0.0", "3.0.0"} >= watcher.versions.keys() >= {"1.0.0", "2.0.0"}:
            raise DemoError(f"users met other versions than those shipped: {dict(watcher.versions)}")
        counts = ", ".join(f"{count} by {version}" for version, count in sorted(watcher.versions.items()))
        self._screen.good(f"{total} requests, none lost: {counts}")
        self._screen.good(f"{errors} errors, all of them answers of 3.0.0 before it was caught")


def _why(operation: Json, deployment: Json) -> str:
    error = operation.get("error") or {}
    reason = f"{error.get('code')}: {error.get('message')}" if error else "no error is given"
    return f"operation {operation['status']}, deployment {deployment['status']}. {reason}"


def _run_on(screen: Screen, stack: EmbeddedStack) -> None:
    screen.title("The stack")
    with screen.waiting("starting PostgreSQL, Temporal, Envoy, the API and a worker"):
        if not stack.find():
            stack.up()
    screen.good("ready" if stack.started_here else "using the one that already runs")
    names = ("api", "docs", "temporal_ui", "ingress")
    screen.table({name: stack.addresses[name] for name in names if name in stack.addresses})
    with Api(stack.addresses["api"], stack.token()) as api:
        Demo(screen, stack, api).run()
    screen.title("All of that happened.")
    screen.note(f"API docs     {stack.addresses.get('docs')}")
    screen.note(f"Temporal UI  {stack.addresses.get('temporal_ui')}")
    if stack.started_here:
        screen.note("The stack stops now; `make up` keeps one running on the same data.")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop(screen: Screen, stack: EmbeddedStack) -> bool:
    """Stop what was started here, ignoring a second Ctrl-C; returns whether it succeeded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        if stack.started_here:
            stack.down()
            stack.end_instances()
    except StackError as error:
        screen.bad(str(error))
        return False
    return True


def main() -> int:
    """Run the demo: 0 on success, 1 with the reason on failure, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen()
    stack = EmbeddedStack(Path(os.environ.get("DELIVERY_DATA_DIR") or ROOT / ".data").resolve())
    code = 1
    try:
        _run_on(screen, stack)
        code = 0
    except (DemoError, StackError, ApiError, TimeoutError, RuntimeError, OSError, httpx2.HTTPError) as error:
        screen.bad(f"{error or type(error).__name__}")
    except KeyboardInterrupt:
        screen.bad("interrupted")
        code = INTERRUPTED
    finally:
        stopped = _stop(screen, stack)
    return code if stopped else code or 1


if __name__ == "__main__":
    sys.exit(main())
