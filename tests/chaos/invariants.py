"""What must be true once an operation is over, whatever was killed meanwhile. Each check yields what is wrong."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import psycopg

from domain.lifecycle import FINISHED_OPERATIONS, OperationStatus, ReleaseState
from tests.chaos.records import Records, Row

SETTLE_SECONDS = 120.0
RUNNING = (ReleaseState.STARTING, ReleaseState.ACTIVE, ReleaseState.RETIRED)
DEPLOYMENT_AFTER = {
    OperationStatus.COMPLETED: ("success",),
    OperationStatus.FAILED: ("failed", "rolled_back"),
    OperationStatus.CANCELLED: ("cancelled", "rolled_back"),
}


def settled(records: Records, project_id: str, seconds: float = SETTLE_SECONDS) -> list[str]:
    """Wait until everything is in order; what is still wrong at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = _wrong(records, project_id)
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.1)


def _wrong(records: Records, project_id: str) -> list[str]:
    try:
        return [fault for check in CHECKS for fault in check(records, project_id)]
    except (psycopg.Error, httpx2.HTTPError, OSError) as error:
        return [f"cannot look: {type(error).__name__}: {error}"]


def _operations(records: Records, project_id: str) -> Iterator[str]:
    """Every operation is over, and its deployment says the same."""
    query = """SELECT o.id, o.status, d.status AS deployment, o.progress_percent AS percent,
        o.error ->> 'code' = 'ORCHESTRATION_LOST' AS lost
        FROM operations o JOIN deployments d ON d.id = o.resource_id
        WHERE o.project_id = %s AND o.kind = 'build_and_deploy'"""
    for row in records.all(query, project_id):
        if row["status"] not in FINISHED_OPERATIONS:
            yield f"operation {row['id']} is still {row['status']}"
        elif row["lost"] and row["deployment"] == "success":
            continue  # lost after the switch: it serves, and `_environment` checks that
        elif row["deployment"] not in DEPLOYMENT_AFTER[row["status"]]:
            yield f"operation {row['id']} is {row['status']} but its deployment is {row['deployment']}"
        elif row["status"] == OperationStatus.COMPLETED and row["percent"] != 100:
            yield f"operation {row['id']} is completed at {row['percent']} %"


def _builds(records: Records, project_id: str) -> Iterator[str]:
    """One row an operation (the table's own rule), numbers without a gap."""
    rows = records.all("SELECT build_number FROM builds WHERE project_id = %s ORDER BY build_number", project_id)
    numbers = [row["build_number"] for row in rows]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"build numbers have gaps: {numbers}"


def _environment(records: Records, project_id: str) -> Iterator[str]:
    """Nobody holds it; the release that succeeded last is its current one; exactly that one runs and is routed to."""
    environment = records.environment(project_id)
    if environment["holder_deployment_id"]:
        yield f"deployment {environment['holder_deployment_id']} still holds the environment"
    current = environment["current_release_id"]
    newest = records.all(
        """SELECT id FROM deployments WHERE project_id = %s AND status = 'success'
        ORDER BY completed_at DESC LIMIT 1""",
        project_id,
    )
    if newest and newest[0]["id"] != current:
        yield f"the current release is {current}, the last good one is {newest[0]['id']}"
    yield from _releases(records, environment)
    yield from _instances(records, environment)
    yield from _routes(records, environment)


def _releases(records: Records, environment: Row) -> Iterator[str]:
    rows = records.all("SELECT id, state FROM releases WHERE environment_id = %s", environment["id"])
    alive = {str(row["id"]): row["state"] for row in rows if row["state"] in RUNNING}
    if alive != {str(environment["current_release_id"]): ReleaseState.ACTIVE}:
        yield f"releases not over: {alive}"


def _instances(records: Records, environment: Row) -> Iterator[str]:
    release = records.one("SELECT id, replicas FROM releases WHERE id = %s", environment["current_release_id"])
    wanted = {f"{release['id']}-{index}" for index in range(release["replicas"])}
    known = records.all(
        """SELECT i.id, i.in_rotation FROM instances i JOIN releases r ON r.id = i.release_id
        WHERE r.environment_id = %s""",
        environment["id"],
    )
    if {row["id"] for row in known if row["in_rotation"]} != wanted or len(known) != len(wanted):
        yield f"instances in the database: {known}, wanted in rotation: {sorted(wanted)}"
    shims = records.shims(environment["id"])
    if shims.keys() != wanted:
        yield f"instances on the target: {sorted(shims)}, wanted: {sorted(wanted)}"
    dead = [name for name, status in shims.items() if not status.alive or status.child_pid is None]
    if dead:
        yield f"instances without a process: {dead}"


def _routes(records: Records, environment: Row) -> Iterator[str]:
    current = str(environment["current_release_id"])
    rows = records.all("SELECT targets FROM routes WHERE environment_id = %s", environment["id"])
    if [row["targets"] for row in rows] != [[{"release_id": current, "weight": 100}]]:
        yield f"routes in the database: {rows}"
    applied = records.envoy_route(environment["host"])
    if applied != {current: 100}:
        yield f"Envoy routes to {applied}, wanted {current}"


def _leftovers(records: Records, project_id: str) -> Iterator[str]:
    """No workspace, no process of a build, nothing in the outbox."""
    home = records.layout.data / "workspaces"
    ours = [str(r["id"]) for r in records.all("SELECT id FROM operations WHERE project_id = %s", project_id)]
    kept = [name for name in ours if (home / name).exists()]
    if kept:
        yield f"workspaces left: {kept}"
    busy = [process for process in build_processes(home) if any(name in process for name in ours)]
    if busy:
        yield f"processes of builds left: {busy}"
    undone = records.all(
        "SELECT id, kind, last_error FROM outbox WHERE done_at IS NULL AND resource_id = ANY(%s::uuid[])", ours
    )
    if undone:
        yield f"outbox entries not done: {undone}"


def build_processes(workspaces: Path) -> list[str]:
    """Processes that work in, or were started for, a workspace."""
    home, found = f"{workspaces}/", []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        places = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        hit = next((place for place in places if place.startswith(home)), None)
        if hit:
            found.append(f"{process.pid} {hit}")
    return found


CHECKS: tuple[Callable[[Records, str], Iterator[str]], ...] = (_operations, _builds, _environment, _leftovers)
