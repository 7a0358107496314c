"""A power cut: everything of a stack dies in the same moment, shims and services too."""

import os
import signal
from pathlib import Path

import psutil

from runtime.stack import orphans
from tests.chaos.records import Records
from tests.support.platform import Platform
from tests.support.services import until


def power_cut(platform: Platform, records: Records) -> None:
    """SIGKILL for all of it; returns when nothing is left."""
    pids = list(orphans.running(records.layout).values())
    pids += [process.pid for process in processes_below(platform.stack.data_dir)]
    platform.close_connections()
    for pid in dict.fromkeys([platform.stack.kill(), *pids]):
        kill(pid)
    until(lambda: processes_below(platform.stack.data_dir) == [], "the end of everything")
    records.close()


def kill(pid: int) -> None:
    """SIGKILL; who is gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def processes_below(data_dir: Path) -> list[psutil.Process]:
    """Processes that work in the data folder or were started on something in it."""
    home, found = f"{data_dir}{os.sep}", []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        places = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(place.startswith(home) for place in places):
            found.append(process)
    return found
