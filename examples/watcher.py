"""Light, steady users of a service: they request its version and record every answer and every failure."""

import threading
import time
from collections import Counter

import httpx2

from examples.client import Service

USERS = 4
INTERVAL_SECONDS = 0.04
MAX_FAILURES_KEPT = 10
RELEASE = "x-delivery-release"


class Watcher:
    """Four users together send a hundred requests a second, each from its own thread, from `start` to `stop`.

    Attributes:
        versions: good answers by version.
        faulty: answers with a status from 500 on, by release.
        failed: requests without an answer, or with an invalid one.
    """

    def __init__(self, services: list[Service]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(service,), name="watcher", daemon=True) for service in services
        ]
        self.versions: Counter[str] = Counter()
        self.faulty: Counter[str] = Counter()
        self.failed = 0
        self.failures: list[str] = []

    def start(self) -> None:
        """Begin sending requests."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop; returns when the last answers have arrived."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=15)

    def _watch(self, service: Service) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._ask(service)
            due = max(due + INTERVAL_SECONDS, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _ask(self, service: Service) -> None:
        try:
            answer = service.get("/version")
            if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
                self.faulty[answer.headers.get(RELEASE, "nobody")] += 1
            else:
                self.versions[answer.json()["version"]] += 1
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            self.failed += 1
            if len(self.failures) < MAX_FAILURES_KEPT:
                self.failures.append(f"{type(error).__name__}: {error}")
