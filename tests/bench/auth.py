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
from typing import TypeVar

from api.auth.api_key_cache import ApiKeyCache
from api.auth.revocation_list import Refused
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import TokenVerifier
from api.rate_limits.buckets import of_member
from api.rate_limits.headers import limit_headers
from domain.api_keys import build_key, hash_key
from domain.permissions import Role, permissions_of
from domain.rate_limits import Allowance
from runtime.ids import new_id, now
from runtime.keys import ensure_key, key_file
from runtime.limiting.memory import MemoryStore
from runtime.settings import Settings
from runtime.tokens import Subject, sign
from storage.models import ApiKey
from storage.repositories.api_key_lookup import CheckedKey

T = TypeVar("T")

ROUNDS = 500
PLENTY = 10**9


def costs() -> Iterator[tuple[str, float]]:
    """What it is, and its median in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        ensure_key(key_file(settings))
        organization = new_id()
        subject = Subject(str(new_id()), Role.DEVELOPER, permissions_of(Role.DEVELOPER), organization=str(organization))
        keyring = SigningKeys(settings)
        verifier = TokenVerifier(settings, keyring, Refused())

        def token() -> str:
            return sign(subject, keyring.signer(), issuer=settings.issuer, audience=settings.jwt_audience)

        yield "check of a new access token (RS256)", _median(token, verifier.verify)
        known = token()
        yield "check of a known access token", _median(lambda: known, verifier.verify)
        yield "check of a known API key", asyncio.run(_key_check())
        yield "count in six windows in memory, with headers", asyncio.run(_counting(str(organization)))


async def _key_check() -> float:
    key = build_key("0" * 32)
    ring = ApiKeyCache(None)  # type: ignore[arg-type] # known keys need no database
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


def _median(prepare: Callable[[], T], call: Callable[[T], object]) -> float:
    return statistics.median(_timed(prepare(), call) for _ in range(ROUNDS))


def _timed(prepared: T, call: Callable[[T], object]) -> float:
    started = time.perf_counter()
    call(prepared)
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
