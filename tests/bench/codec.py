"""What the encryption of histories costs: one payload, in and out."""

import asyncio
import os
import time
from collections.abc import Iterator

from temporalio.api.common.v1 import Payload

from runtime.codec import EncryptionCodec

SIZES = (200, 2_000, 20_000)
ROUNDS = 2_000


def codec_times() -> Iterator[tuple[int, float, float]]:
    """Bytes of a payload, microseconds to encrypt it and to decrypt it (mean)."""
    codec = EncryptionCodec([os.urandom(32)])
    for size in SIZES:
        payload = Payload(metadata={"encoding": b"json/plain"}, data=os.urandom(size))
        yield size, *asyncio.run(_measure(codec, payload))


async def _measure(codec: EncryptionCodec, payload: Payload) -> tuple[float, float]:
    began = time.perf_counter()
    for _ in range(ROUNDS):
        sealed = await codec.encode([payload])
    encrypted = time.perf_counter()
    for _ in range(ROUNDS):
        await codec.decode(sealed)
    ended = time.perf_counter()
    return (encrypted - began) / ROUNDS * 1e6, (ended - encrypted) / ROUNDS * 1e6
