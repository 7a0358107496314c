"""What authentication and counting cost a request, in process: medians, without HTTP and without a database.

`python -m tests.bench.auth` prints them.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

from api.auth.api_keys import KeyRing
from api.auth.keyring import Keyring
from api.auth.refused import Refused
from api.auth.tokens import TokenVerifier
from api.rate_limits.buckets import of_member
from api.rate_limits.headers import limit_headers
from domain.access import Role, permissions_of
from domain.api_keys import build_key, hash_key
from domain.limits import Allowance
from runtime.ids import new_id, now
from runtime.keys import ensure_key, key_file
from runtime.limiting.memory import MemoryStore
from runtime.settings import Settings
from runtime.tokens import Subject, issue_token
from storage.models import ApiKey
from storage.repositories.key_checks import CheckedKey

ROUNDS = 2000
PLENTY = 10**9


def costs() -> Iterator[tuple[str, float]]:
    """What it is, and its median in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        ensure_key(key_file(settings))
        keyring = Keyring(settings)
        organization = new_id()
        subject = Subject(str(new_id()), Role.DEVELOPER, permissions_of(Role.DEVELOPER), organization=str(organization))
        token = issue_token(settings, subject, timedelta(hours=1))
        verifiers = iter([TokenVerifier(settings, keyring, Refused()) for _ in range(ROUNDS)])
        yield "first check of an access token (RS256)", _median(lambda: next(verifiers).verify(token))
        verifier = TokenVerifier(settings, keyring, Refused())
        yield "check of a known access token", _median(lambda: verifier.verify(token))
        yield "check of a known API key", asyncio.run(_key_check())
        yield "count in six windows in memory, with headers", asyncio.run(_counting(str(organization)))


async def _key_check() -> float:
    key = build_key("0" * 32)
    ring = KeyRing(None)  # type: ignore[arg-type] # known keys need no database
    ring._remember(hash_key(key), CheckedKey(_row(key), creator_gone=False, creator_role=None, email=""))
    return await _awaited(lambda: ring.principal(key))


async def _counting(organization: str) -> float:
    store = MemoryStore()

    async def count() -> None:
        buckets = of_member(organization, f"key:{organization}", None, Allowance(PLENTY, PLENTY, PLENTY))
        limit_headers(await store.take(buckets.quotas), buckets.policy)

    return await _awaited(count)


def _row(key: str) -> ApiKey:
    return ApiKey(
        id=new_id(),
        organization_id=new_id(),
        key_hash=hash_key(key),
        role=Role.DEVELOPER,
        created_by="bench",
        expires_at=now() + timedelta(days=1),
        scopes=[str(scope) for scope in permissions_of(Role.DEVELOPER)],
    )


def _median(call: Callable[[], object]) -> float:
    return statistics.median(_timed(call) for _ in range(ROUNDS))


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e6


async def _awaited(call: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await call()
        times.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times)


def main() -> int:
    """Print a line a cost."""
    for words, microseconds in costs():
        sys.stdout.write(f"  {words:46} {microseconds:6.0f} us\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
