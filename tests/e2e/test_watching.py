"""Watching an operation on the real stack: polls, long polls, event streams; with parts stopped or started again."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import psutil
import pytest

from examples.client import Accepted
from tests.support.freezing import freeze
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SLOW = "import time; time.sleep({seconds})"
# Goes on for as long as nobody tells it to end.
HELD = "import signal, sys, time; signal.signal(10, lambda *_: sys.exit()); time.sleep(333)"
FINAL = {"completed", "failed", "cancelled"}


def process(platform: Any, name: str) -> psutil.Process:
    """A running part of the stack."""
    return psutil.Process(json.loads(platform.stack._command("status"))[name])


@contextmanager
def stopped(*frozen: psutil.Process) -> Iterator[None]:
    """Parts that are there and do nothing."""
    for one in frozen:
        freeze(one.pid)
    try:
        yield
    finally:
        for one in frozen:
            one.send_signal(signal.SIGCONT)


class Watcher:
    """One application and a new version of it under way."""

    def __init__(self, platform: Any, app: Any) -> None:
        self.platform = platform
        self.app = app
        self.numbers = iter(range(10_000))

    def start(self, seconds: float) -> Accepted:
        return self.build(SLOW.format(seconds=seconds))

    def build(self, script: str) -> Accepted:
        """A build and deployment whose last step is this script."""
        version = f"2.0.{next(self.numbers)}"
        command = f'python3 -c "{script}"'
        spec = self.app.spec(
            build={"steps": [*self.app._spec["build"]["steps"], command]},
            rollout={"scale_down_delay": 0, "verify_seconds": 0.2},
            service={"drain_timeout": 0.2},
        )
        self.app.repository.commit(version, files={"delivery.yaml": spec})
        return self.platform.api.build_and_deploy(self.app.feature["id"], version)

    def http(self) -> httpx2.Client:
        api = self.platform.api
        return httpx2.Client(headers=api._http.headers, base_url=api.root + "/v1", timeout=120, trust_env=False)


@pytest.fixture(scope="module")
def watcher(platform):
    return Watcher(platform, platform.app("watched"))


def events(http: httpx2.Client, operation_id: str, last: int | None = None) -> Iterator[dict[str, Any]]:
    """Events as a browser would read them, with what the server sends in `id:`."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with http.stream("GET", f"/operations/{operation_id}/events", headers=headers) as response:
        if response.status_code == 204:
            return
        assert response.status_code == 200, response.status_code
        number = -1
        for line in response.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            if line.startswith("data: "):
                yield {**json.loads(line[6:]), "id": number}


def never_falls(seen: list[dict[str, Any]]) -> None:
    marks = [(one["version"], one["progress_percent"]) for one in seen]
    assert marks == sorted(marks), marks
    assert [percent for _, percent in marks] == sorted(percent for _, percent in marks), marks


def test_events_tell_all_until_the_end_and_polls_agree(watcher):
    accepted = watcher.start(1.0)
    with watcher.http() as http, watcher.http() as other:
        polled: list[dict[str, Any]] = []

        def poll() -> None:
            while not polled or not polled[-1]["done"]:
                polled.append(other.get(f"/operations/{accepted.operation_id}?wait=20").json()["data"])

        poller = threading.Thread(target=poll)
        poller.start()
        seen = list(events(http, accepted.operation_id))
        poller.join(120)
        assert not poller.is_alive()
        assert all(one["id"] == one["version"] for one in seen)
        assert (seen[-1]["status"], seen[-1]["progress_percent"], seen[-1]["done"]) == ("completed", 100, True)
        assert seen[-1]["result_url"] == f"/deployments/{accepted.deployment_id}"
        assert len(seen) > 5
        never_falls(seen)
        never_falls(polled)
        assert polled[-1]["version"] == seen[-1]["version"]
        assert {one["eta_seconds"] for one in seen} == {None}
        assert list(events(http, accepted.operation_id, last=seen[-1]["id"])) == []
        again = list(events(http, accepted.operation_id, last=seen[-2]["id"]))
        assert [one["status"] for one in again] == ["completed"]


@pytest.mark.deep
def test_a_stream_goes_on_after_the_api_was_killed(watcher, platform):
    accepted = watcher.start(3.0)
    seen: list[dict[str, Any]] = []
    doomed = process(platform, "api")

    def follow_and_kill(http: httpx2.Client) -> None:
        for event in events(http, accepted.operation_id):
            seen.append(event)
            if len(seen) == 1:
                doomed.kill()

    with watcher.http() as http, pytest.raises(httpx2.TransportError):
        follow_and_kill(http)
    deadline = time.monotonic() + 240
    while not seen[-1]["done"]:
        assert time.monotonic() < deadline
        with watcher.http() as http:
            try:
                seen += events(http, accepted.operation_id, last=seen[-1]["id"])
            except httpx2.TransportError:
                time.sleep(0.2)  # it is being started again
    never_falls(seen)
    assert seen[-1]["status"] == "completed"


def held_builds() -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [one for one in found if one.info["name"].startswith("python") and HELD in (one.info["cmdline"] or ())]


@pytest.mark.deep
def test_the_last_known_state_when_nobody_can_be_asked(watcher, platform):
    """Who cannot be asked says nothing until everybody has an answer, which no answer can wait for."""
    worker, temporal = process(platform, "worker"), process(platform, "temporal")
    accepted = watcher.build(HELD)
    with watcher.http() as http:
        url = f"/operations/{accepted.operation_id}"
        seen = [http.get(url).json()["data"]]
        while seen[-1]["current_step"] != "Building":
            seen.append(http.get(url + "?wait=10").json()["data"])
        for away in ((worker,), (temporal,), (worker, temporal)):
            with stopped(*away):
                time.sleep(0.3)  # an answer from before is kept for a quarter of a second
                began = time.monotonic()
                seen.append(http.get(url).json()["data"])
                assert time.monotonic() - began > 0.5, f"{away} was not asked"
                assert (seen[-1]["status"], seen[-1]["current_step"]) == ("in_progress", "Building"), away
        until(lambda: len(held_builds()) == 1, "the build")
        held_builds()[0].send_signal(signal.SIGUSR1)
        seen.append(platform.api.wait(accepted.operation_id, 240))
    never_falls(seen)
    assert seen[-1]["status"] == "completed"


def estimated(http: httpx2.Client, accepted: Accepted) -> bool:
    """Whether a run was told when it will end: that is learned from three, and what was known is kept for a moment."""
    return any(one["eta_seconds"] is not None for one in events(http, accepted.operation_id))


@pytest.mark.deep
def test_many_streams_and_pollers_leave_nothing_and_eta_is_learned_from_three_runs(watcher, platform):
    with watcher.http() as http:
        until(lambda: estimated(http, watcher.start(0.5)), "an estimate", 240)
    accepted = watcher.start(3.0)
    api = process(platform, "api")
    with watcher.http() as http, ThreadPoolExecutor(9) as pool:
        whole = pool.submit(lambda: list(events(http, accepted.operation_id)))
        # Fewer than one caller may follow at once.
        streams = [http.stream("GET", f"/operations/{accepted.operation_id}/events") for _ in range(12)]
        for stream in streams:
            assert stream.__enter__().status_code == 200
        during = api.num_fds()
        for stream in streams:
            stream.__exit__(None, None, None)
        list(pool.map(lambda _: _poll(accepted.operation_id, watcher), range(8)))
        until(lambda: api.num_fds() <= during - 12, f"fewer descriptors than {during}")
        seen = whole.result(240)
    never_falls(seen)
    told = [one["eta_seconds"] for one in seen if one["status"] == "in_progress"]
    assert all(isinstance(eta, int) and eta >= 0 for eta in told)
    assert told[0] > told[-1]
    assert (seen[-1]["status"], seen[-1]["eta_seconds"]) == ("completed", None)


def _poll(operation_id: str, watcher: Watcher) -> None:
    with watcher.http() as http:
        for _ in range(20):
            assert http.get(f"/operations/{operation_id}").status_code == 200
