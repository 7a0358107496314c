"""`python -m sdks.conformance`: every scenario with every language's SDK; ends with 0 only if all are green."""

import argparse
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sdks.conformance.play import Played, Stage, play
from sdks.conformance.runners import Language, UnpreparedError, languages
from sdks.conformance.scenario import Scenario, chosen, load
from sdks.conformance.table import print_faults, print_table
from sdks.conformance.world import Home, started

ALL = ("go", "java", "python", "python-async", "typescript")
WIDTH = 110


@dataclass(frozen=True)
class Stack:
    """A running stack, and a folder whose repositories it can read."""

    api: str
    token: str
    repositories: Path


@dataclass(frozen=True)
class Found:
    """Languages whose runners are built, those whose tools this machine does not have, and those that have none."""

    ready: list[Language]
    skipped: dict[str, str]
    broken: dict[str, str]


def main(arguments: Sequence[str]) -> int:
    """Returns 0: all green; 1: not; 2: there was nothing to run."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    scenarios = list(chosen(load(), options.scenarios.split(",") if options.scenarios else []))
    wanted = options.languages.split(",") if options.languages else list(ALL)
    found = _found(console, wanted)
    if not scenarios or not found.ready:
        console.print(f"nothing to run: {len(scenarios)} scenarios; {found.broken}, {found.skipped}", markup=False)
        return 2
    with ExitStack() as held:
        stack = _stack(held, options) if any(one.stack for one in scenarios) else None
        results = _run(console, found.ready, scenarios, stack)
    print_table(console, scenarios, results, found.skipped, found.broken)
    print_faults(console, results)
    green = not found.broken and all(_is_green(played, scenarios) for played in results.values())
    return 0 if green and not (options.all and found.skipped) else 1


def _is_green(played: Mapping[str, Played], scenarios: Sequence[Scenario]) -> bool:
    return len(played) == len(scenarios) and not any(one.fault for one in played.values())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sdks.conformance", description=__doc__)
    parser.add_argument("--languages", default="", help=f"of {','.join(ALL)}; all by default")
    parser.add_argument(
        "--scenarios", default="", help="parts of their names, with * as wildcard: retries,oauth.*flight"
    )
    parser.add_argument("--api", default="", help="a running stack's address, instead of one of our own")
    parser.add_argument("--token", default="", help="with --api: a token of a platform admin (`make token`)")
    parser.add_argument("--all", action="store_true", help="a language that is skipped is no success")
    return parser.parse_args(arguments)


def _found(console: Console, wanted: Sequence[str]) -> Found:
    there = {one.name: one for one in languages()}
    found = Found([], {}, {})
    for name in wanted:
        one = there.get(name)
        if one is None:
            found.broken[name] = f"there is no sdks/{name}/conformance/command.json"
        elif one.missing:
            found.skipped[name] = f"not on this machine: {', '.join(one.missing)}"
        else:
            console.print(f"building the runner of {name}")
            try:
                one.prepare()
                found.ready.append(one)
            except UnpreparedError as error:
                found.broken[name] = str(error)
    return found


def _stack(held: ExitStack, options: argparse.Namespace) -> Stack:
    if options.api:
        folder = tempfile.mkdtemp(prefix="conformance-")
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        Path(folder).chmod(0o755)  # builds run as another user when we are root
        return Stack(options.api, options.token, Path(folder))
    platform = held.enter_context(started())
    return Stack(platform.api.root, platform.stack.token(), platform.stack.data_dir.parent / "repositories")


def _run(
    console: Console, ready: Sequence[Language], scenarios: Sequence[Scenario], stack: Stack | None
) -> dict[str, dict[str, Played]]:
    """All scenarios of all languages: languages beside each other, a language's scenarios one after another."""
    stopped = threading.Event()
    with ThreadPoolExecutor(len(ready)) as pool:
        try:
            running = {one.name: pool.submit(_all_of, console, one, scenarios, stack, stopped) for one in ready}
            return {name: done.result() for name, done in running.items()}
        finally:
            stopped.set()  # Ctrl-C: no scenario is begun any more, and then the stack is stopped


def _all_of(
    console: Console, language: Language, scenarios: Sequence[Scenario], stack: Stack | None, stopped: threading.Event
) -> dict[str, Played]:
    stage = Stage(language)
    home = Home(stack.api, stack.token, stack.repositories, language.name) if stack else None
    played: dict[str, Played] = {}
    try:
        for one in scenarios:
            if stopped.is_set():
                break
            played[one.name] = play(one, stage, home if one.stack else None)
            words = f"red: {played[one.name].fault}" if played[one.name].fault else "green"
            console.print(
                f"{language.name} {one.name} {played[one.name].seconds:.1f} s {words}", markup=False, soft_wrap=True
            )
    finally:
        stage.close()
        if home is not None:
            home.close()
    return played


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
