"""Runs one command; whatever goes wrong becomes a message and an exit code, never a stack trace."""

import os
import signal
import sys
from collections.abc import Sequence

from delivery_cli.exits import Exit
from delivery_cli.faults import Fault, UsageFault

ALL_FIELDS = "*"


def dispatch(arguments: list[str]) -> int:
    """Returns the exit code."""
    from delivery_cli.tree import Leave, command_of

    as_json = asks_for_json(arguments)
    try:
        command_of(arguments[0])(with_fields(arguments[1:]))
    except Leave as leaving:
        return leaving.code
    except Fault as fault:
        return report(fault, as_json=as_json)
    except BrokenPipeError:
        _close_quietly()
        return Exit.DONE
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return Exit.INTERRUPTED
    except Exception as error:
        from delivery_cli.explained import explain

        if os.environ.get("DELIVERY_DEBUG"):
            raise
        return report(explain(error), as_json=as_json)
    return Exit.DONE


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether errors are told as JSON, too."""
    return any(word.split("=")[0] in {"--json", "--jq"} for word in arguments)


def with_fields(arguments: Sequence[str]) -> list[str]:
    """`--json` without fields means all of them: its value is optional, which the parser does not know."""
    given = list(arguments)
    for place, word in enumerate(given):
        if word == "--":
            break
        last = place + 1 == len(given)
        if word == "--json" and (last or given[place + 1].startswith("-")):
            given[place] = f"--json={ALL_FIELDS}"
    return given


def report(fault: Fault, *, as_json: bool) -> int:
    """Tell people on standard error what is wrong and what to do; returns the exit code."""
    if as_json:
        import json

        sys.stderr.write(json.dumps({"error": fault.as_json()}, ensure_ascii=False) + "\n")
        return fault.exit_code
    from delivery_cli.output.clean import clean

    sys.stderr.write(f"error: {clean(fault.message)}\n")
    for line in (fault.hint or "").splitlines():
        sys.stderr.write(f"  {clean(line)}\n")
    if request := fault.facts.get("request_id"):
        sys.stderr.write(f"  request {request}\n")
    return fault.exit_code


def _close_quietly() -> None:
    """Whoever read us is gone (`delivery history | head`): that is no fault."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["ALL_FIELDS", "UsageFault", "asks_for_json", "dispatch", "report", "with_fields"]
