"""The entry point: answers `--version` and `--help` at once, and imports only the command that is asked for."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from delivery_cli import __version__
from delivery_cli.catalog import COMMANDS, EXAMPLES
from delivery_cli.exits import MEANINGS, Exit

COMPLETE = "_DELIVERY_COMPLETE"
VARIABLES = (
    ("DELIVERY_URL", "the server; goes before the profile's"),
    ("DELIVERY_API_KEY", "an API key; goes before the profile's login"),
    ("DELIVERY_TOKEN", "an access token; the same"),
    ("DELIVERY_PROFILE", "which profile, by default `default`"),
    ("DELIVERY_ORG", "which organization (slug or id), where you have several"),
    ("DELIVERY_PROJECT", "which project (slug or id), by default that of the checkout"),
    ("NO_COLOR", "if set: no colours"),
)


def main() -> None:
    """The console script; never returns."""
    _open_what_is_closed()
    sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: Sequence[str]) -> int:
    """Run it; what goes wrong outside of a command, and at the last write, is no stack trace either."""
    try:
        code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us is gone
        _write_no_more()
        return Exit.DONE
    except KeyboardInterrupt:
        _write_no_more()
        return Exit.INTERRUPTED
    except OSError as error:
        _write_no_more()
        sys.stderr.write(f"error: cannot write the answer: {error.strerror}\n")
        return Exit.FAILED
    return code


def _open_what_is_closed() -> None:
    """`>&-` and some daemons leave no standard streams at all."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as we run


def _write_no_more() -> None:
    """What is still in the buffer would fail once more at the interpreter's end."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as we run
    os.dup2(sys.stdout.fileno(), 1)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code."""
    if COMPLETE in os.environ:
        from delivery_cli.tree import complete

        return complete()
    first = arguments[0] if arguments else "--help"
    if first in {"--version", "-V", "version"}:
        print(f"delivery {__version__}")
        return Exit.DONE
    if first in {"--help", "-h", "help"}:
        return _help(arguments[1:])
    if first not in COMMANDS:
        return _unknown(first)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them takes longer than most commands
    from delivery_cli.dispatch import dispatch

    return dispatch(list(arguments))


def overview() -> str:
    """What `delivery --help` prints."""
    lines = [
        "Usage: delivery COMMAND [ARGUMENTS]",
        "",
        "Ship a commit and watch it: build, test, roll out, keep or take back.",
    ]
    section = ""
    for name, entry in COMMANDS.items():
        if entry.section != section:
            section = entry.section
            lines += ["", f"{section}:"]
        lines.append(f"  {name:<11}{entry.summary}")
    lines += ["", "Every command: --json [FIELDS], --jq FILTER, --profile NAME, --org NAME, --help (with examples)", ""]
    lines.append("Examples:")
    lines += [f"  {line:<42} # {words}" for line, words in EXAMPLES]
    lines += ["", "Environment:", *(f"  {name:<17} {words}" for name, words in VARIABLES)]
    lines += ["", "Exit codes:", *(f"  {int(code):<4}{words}" for code, words in MEANINGS.items())]
    return "\n".join(lines)


def _help(rest: Sequence[str]) -> int:
    if rest and rest[0] in COMMANDS:
        return run([*rest, "--help"])
    print(overview())
    return Exit.DONE


def _unknown(word: str) -> int:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, 1)
    meant = f"; did you mean `delivery {near[0]}`?" if near else ""
    sys.stderr.write(f"error: there is no command {word!r}{meant}\n  `delivery --help` lists all of them\n")
    return Exit.USAGE
