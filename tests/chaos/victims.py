"""What can be killed, and killing it."""

import os
import signal
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from domain.lifecycle import StepName
from drivers.shim import client
from runtime.stack import orphans
from tests.chaos.moments import Moment
from tests.chaos.records import Records

APPEARS_SECONDS = 60.0
RPS = 50.0


class Victim(StrEnum):
    """A process. `instance`: of the version that serves; `build`: the shim of a build's commands."""

    WORKER = "worker"
    API = "api"
    TEMPORAL = "temporal"
    POSTGRES = "postgres"
    ENVOY = "envoy"
    INSTANCE = "instance"
    BUILD = "build"


PARTS = frozenset({Victim.WORKER, Victim.API, Victim.TEMPORAL, Victim.POSTGRES, Victim.ENVOY})

# How many requests may fail: those under way at a killed instance; as many as arrive until Envoy runs again.
MAY_FAIL: Mapping[Victim, int] = {Victim.INSTANCE: 3, Victim.ENVOY: int(RPS * 4)}


def meaningful(victim: Victim, moment: Moment) -> bool:
    """A build has processes of its own only while it builds and tests."""
    return victim is not Victim.BUILD or moment.step in (StepName.BUILD, StepName.TEST)


def kill(victim: Victim, records: Records, *, operation_id: str, moment: Moment, serving: str) -> int:
    """SIGKILL it; returns the pid. Raises `TimeoutError` when it is not there in a minute."""
    deadline = time.monotonic() + APPEARS_SECONDS
    while (pid := _find(victim, records, operation_id, moment, serving)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"there was no {victim} to kill at {moment}")
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return pid


def _find(victim: Victim, records: Records, operation_id: str, moment: Moment, serving: str) -> int | None:
    data = records.layout.data
    if victim in PARTS:
        return orphans.running(records.layout).get(victim)
    if victim is Victim.INSTANCE:
        return client.status(data / "instances" / f"{serving}-0" / "shim").child_pid
    return client.status(_build_state(data, operation_id, moment.step)).shim_pid


def _build_state(data: Path, operation_id: str, step: StepName) -> Path:
    return data / "workspaces" / operation_id / "state" / step


def await_back(victim: Victim, records: Records, killed: int, seconds: float = 40.0) -> None:
    """Wait until the supervisor has started a killed part again."""
    deadline = time.monotonic() + seconds
    while victim in PARTS and orphans.running(records.layout).get(victim, killed) == killed:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{victim} was not started again within {seconds:g} s")
        time.sleep(0.02)
