"""A receiver, or a relay, as a process of its own.

`python -m tests.support.hook_process receive --count N` prints its ports, then on SIGTERM nothing more; every request
is a line on stdout: `<port> <unix time> <event_id> <retry_count> <resource> <number>`.
`python -m tests.support.hook_process relay --lease S` relays on `DELIVERY_DATABASE_URL` until it is killed.
"""

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from storage.engine import create_engine, create_sessions
from storage.repositories import webhook_claims
from tests.support.receiver import Received, Receiver, Reply
from tests.support.webhooks import relay


async def receive(count: int, fail_every: int, silent: int) -> None:
    """Answer 204; 500 to the first attempt of every so manieth event; the last `silent` receivers never answer."""
    never = asyncio.Event()
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(Receiver(keep=0)) for _ in range(count)]
        sys.stdout.write(" ".join(str(one.port) for one in receivers) + "\n")
        sys.stdout.flush()
        for number, receiver in enumerate(receivers):
            hold = never if number >= count - silent else None
            receiver.answer = partial(_answer, port=receiver.port, fail_every=fail_every, hold=hold)
        await never.wait()


def _answer(request: Received, port: int, fail_every: int, hold: asyncio.Event | None) -> Reply:
    content = request.content
    data = content["data"].get("chaos", {})
    number = data.get("number", -1)
    fails = fail_every and number % fail_every == 1 and content["retry_count"] == 0 and hold is None
    words = (
        port,
        request.at,
        content["event_id"],
        content["retry_count"],
        data.get("resource"),
        number,
        int(not fails),
    )
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()
    return Reply(500 if fails else 204, hold=hold)


async def run_relay(lease_s: float, limit_s: float) -> None:
    webhook_claims.LEASE = timedelta(seconds=lease_s)
    url = os.environ["DELIVERY_DATABASE_URL"]
    engine = create_engine(url, application_name="relay-of-a-test")
    async with relay(create_sessions(engine), url, limit_s=limit_s):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="hook_process", description=__doc__)
    parser.add_argument("what", choices=("receive", "relay"))
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--silent", type=int, default=0)
    parser.add_argument("--lease", type=float, default=25)
    parser.add_argument("--limit", type=float, default=2, help="seconds of one attempt")
    given = parser.parse_args()
    if given.what == "receive":
        asyncio.run(receive(given.count, given.fail_every, given.silent))
    else:
        asyncio.run(run_relay(given.lease, given.limit))


if __name__ == "__main__":
    main()
