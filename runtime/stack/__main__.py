"""`python -m runtime.stack up|down|addresses|status|admin-password|token`: the embedded stack on one data folder."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from domain.errors import DeliveryError
from domain.words import words_of
from runtime.settings import Settings
from runtime.stack import commands
from runtime.stack.token import development_token


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is for the shell."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options, Settings())
    except ValidationError as error:
        faults = "; ".join(f"DELIVERY_{'_'.join(map(str, e['loc'])).upper()}: {words_of(e)}" for e in error.errors())
        commands.complain(f"a setting is wrong: {faults}")
    except (DeliveryError, ValueError, OSError) as error:
        commands.complain(str(error))
    return 1


def _run(options: argparse.Namespace, settings: Settings) -> int:
    match options.command:
        case "up":
            only = [name for name in options.only.split(",") if name]
            return commands.up(settings, only=only, ready_file=options.ready_file)
        case "down":
            return commands.down(settings)
        case "addresses":
            return commands.show_addresses(settings)
        case "status":
            return commands.status(settings)
        case "admin-password":
            return commands.admin_password(settings)
    token = development_token(
        settings, sub=options.sub, role=options.role, org=options.org, email=options.email, ttl_s=options.ttl
    )
    commands.say(token)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run the stack in the foreground")
    up.add_argument("--ready-file", type=Path, help="written with the addresses once all is ready, removed at the end")
    up.add_argument("--only", default="", help="only these parts, separated by commas (for tests)")
    commands.add_parser("down", help="stop the stack")
    commands.add_parser("addresses", help="print the addresses as JSON")
    commands.add_parser("status", help="print the running parts as JSON")
    commands.add_parser("admin-password", help="give the platform admin a new password and print it")
    token = commands.add_parser("token", help="print a development token")
    for name, meaning in (("sub", "user id"), ("role", "role"), ("org", "organization id"), ("email", "address")):
        token.add_argument(f"--{name}", default="", help=meaning)
    token.add_argument("--ttl", type=int, default=3600, help="seconds it is valid")
    return parser


if __name__ == "__main__":
    sys.exit(main())
