"""A light, steady user of a service: asks for its version and remembers every answer and every failure."""

import threading
import time
from collections import Counter

import httpx2

from examples.client import Service

INTERVAL_SECONDS = 0.05
MAX_FAILURES_KEPT = 10


class Watcher:
    """Asks twenty times a second from a thread of its own, from `start` to `stop`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.versions: Counter[str] = Counter()
        self.failed = 0
        self.failures: list[str] = []

    def start(self) -> None:
        """Begin asking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; returns when the last answer is in."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def _watch(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._ask()
            due = max(due + INTERVAL_SECONDS, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _ask(self) -> None:
        try:
            self.versions[self._service.version()] += 1
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            self.failed += 1
            if len(self.failures) < MAX_FAILURES_KEPT:
                self.failures.append(f"{type(error).__name__}: {error}")
