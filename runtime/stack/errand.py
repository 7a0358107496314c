"""A command of a start that ends by itself: migrations, the first admin."""

import subprocess
import time
from collections.abc import Callable

from runtime.stack import logfile, remains
from runtime.stack.part_supervisor import PartFailedError
from runtime.stack.process import Command

_POLL_S = 0.05


class Errand:
    """One command, run to its end.

    Args:
        name: of what it does.
        command: its errors go into its log.
        mark: names it in its environment, so that one which outlives its supervisor is found.
        limit_s: seconds it may take.
        tell: its output is for people, and stands in no log; else it goes there too.
    """

    def __init__(self, name: str, command: Command, *, mark: str, limit_s: float, tell: bool = False) -> None:
        self._name = name
        self._command = command
        self._mark = mark
        self._limit_s = limit_s
        self._tell = tell

    def run(self, stopping: Callable[[], bool]) -> list[str] | None:
        """What it says to people; None when it was ended because the stack is to stop.

        Raises:
            PartFailedError: it failed or took too long; the message has the end of its log.
            OSError: it cannot be run.
        """
        with self._command.log.open("ab") as output:
            process = subprocess.Popen(
                self._command.argv,
                env={**self._command.env, remains.MARK: self._mark},
                cwd=self._command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._tell else output,
                stderr=output,
                start_new_session=True,
            )
        why_not = self._await_end(process, stopping)
        if why_not is not None:
            process.kill()
        said, _ = process.communicate()
        if why_not == "":
            return None
        if why_not is None and process.returncode != 0:
            why_not = f"exited with code {process.returncode}"
        if why_not:
            path = self._command.log
            raise PartFailedError(f"{self._name} failed: {why_not}\nThe end of {path}:\n{logfile.tail(path)}")
        return (said or b"").decode().splitlines()

    def _await_end(self, process: subprocess.Popen[bytes], stopping: Callable[[], bool]) -> str | None:
        """None once it has ended; why it must not go on, empty when the stack is to stop. What it says is short."""
        deadline = time.monotonic() + self._limit_s
        while process.poll() is None:
            if stopping():
                return ""
            if time.monotonic() > deadline:
                return f"took longer than {self._limit_s:.0f} s"
            time.sleep(_POLL_S)
        return None
