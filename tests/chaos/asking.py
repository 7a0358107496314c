"""A client that asks until it is answered, as clients do: the same request under the same `Idempotency-Key`."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from tests.support.platform import Platform

PAUSE_SECONDS = 0.1
NOT_KNOWN = (503, 504)


@dataclass(frozen=True)
class Asked:
    """One request of one person, sent as often as needed. `token`: whose; none: the platform's."""

    platform: Platform
    path: str
    body: dict[str, Any]
    token: str = ""
    key: str = field(default_factory=lambda: str(uuid4()))

    def once(self) -> httpx2.Response:
        """One attempt. Raises `httpx2.TransportError` when whoever answers dies meanwhile."""
        headers = {"Idempotency-Key": self.key}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return self.platform.api.raw("POST", f"/v1{self.path}", json=self.body, headers=headers)

    @contextmanager
    def meanwhile(self) -> Iterator[Future[httpx2.Response]]:
        """One attempt in a thread; at the end it has come to an end, whichever."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.once)

    def answered(self, seconds: float = 180.0, *, told: bool = False) -> httpx2.Response:
        """Ask until there is an answer, `told`: until it is no 202 any more."""
        deadline = time.monotonic() + seconds
        while True:
            fault: object
            try:
                answer = self.once()
            except httpx2.TransportError as error:
                fault = error
            else:
                if answer.status_code not in NOT_KNOWN and (not told or answer.status_code != httpx2.codes.ACCEPTED):
                    return answer
                fault = answer.text
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} was not answered within {seconds:g} s: {fault}")
            time.sleep(PAUSE_SECONDS)
