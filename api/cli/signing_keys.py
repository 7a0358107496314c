"""`python -m api.cli signing-keys list | rotate [--now] | drop KID`: the signing keys of the database.

Run `rotate` twice, five minutes or more apart, or once a month: each run activates the key that the run before has
published. Other processes see it at once.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from api.oauth.keystore import KeyStore
from domain.errors import DeliveryError
from runtime.encryption import load_sealer
from runtime.settings import Settings, get_settings
from runtime.stack.database import database_url
from storage.engine import create_engine, create_sessions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is for the shell."""
    parser = argparse.ArgumentParser(prog="python -m api.cli signing-keys", description="Signing keys of access tokens")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all keys, oldest first")
    rotate = commands.add_parser("rotate", help="let the next key sign; publish another one")
    rotate.add_argument("--now", action="store_true", help="also if others may not know it yet")
    commands.add_parser("drop", help="stop believing a retired key").add_argument("kid")
    try:
        sys.stdout.write(asyncio.run(_run(get_settings(), parser.parse_args(arguments))))
    except DeliveryError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


async def _run(settings: Settings, chosen: argparse.Namespace) -> str:
    engine = create_engine(database_url(settings), application_name="keys", pool_size=1)
    store = KeyStore(create_sessions(engine), load_sealer(settings))
    try:
        if chosen.command == "drop":
            await store.drop(chosen.kid)
            return f"{chosen.kid} is not believed any more\n"
        return await (_rotate(store, at_once=chosen.now) if chosen.command == "rotate" else _list(store))
    finally:
        await engine.dispose()


async def _list(store: KeyStore) -> str:
    return "".join(f"{key.kid}  {key.state:<8} made {key.created_at:%Y-%m-%d %H:%M:%S}\n" for key in await store.all())


async def _rotate(store: KeyStore, *, at_once: bool) -> str:
    done = await store.rotate(at_once=at_once)
    if done.wait:
        seconds = int(done.wait.total_seconds()) + 1
        return f"{done.upcoming} is published; rotate again in {seconds} s or later, and it signs\n"
    return f"{done.active} signs now; {done.upcoming} is published as the next one\n"


if __name__ == "__main__":
    sys.exit(main())
