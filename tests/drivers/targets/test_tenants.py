"""Services that take what is everybody's: ended, started again, and the reason is seen; the one beside goes on."""

import pytest

from drivers.targets.base import InstancePhase
from tests.drivers.targets.service import Service, ask

FILL = 'for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of="$TMPDIR/part$i" bs=1M count=4; done; sleep 60'


@pytest.mark.parametrize(
    ("command", "limits", "reason"),
    [
        ("for i in $(seq 40); do sleep 60 & done; wait", {"processes": 30}, "process_limit"),
        (FILL, {"disk_mb": 20}, "disk_limit"),
        ('dd if=/dev/zero of="$TMPDIR/big" bs=1M count=50', {"disk_mb": 20}, "disk_limit"),
        ("python3 -c 'b = bytearray(100_000_000); input()' < /dev/zero", {"memory_mb": 60}, "memory_limit"),
    ],
)
async def test_a_greedy_service_is_ended_and_its_reason_seen(
    service: Service, command: str, limits: dict[str, int], reason: str
) -> None:
    well = await service.listening(service.spec("well-0"))
    await service.target.start(service.spec("greedy-0", command=command, **limits))
    status = await service.seen("greedy-0", "ended_by", reason)
    assert status.phase in (InstancePhase.BACKOFF, InstancePhase.RUNNING)
    assert ask(well)["pid"]
    assert (await service.target.inspect("well-0")).restarts == 0


@pytest.mark.parametrize("service", ["isolated"], indirect=True)
async def test_the_loader_of_the_sandbox_writes_no_file_of_a_service_outside(service: Service) -> None:
    """LD_PRELOAD would be run there as well: what a service says to the loader is for itself."""
    proof = service.root / "proof"
    env = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(proof), "LD_LIBRARY_PATH": "./lib"}
    status = await service.listening(service.spec(env=env))
    assert ask(status)["env"]["LD_LIBRARY_PATH"] == "./lib"
    assert not list(service.root.glob("proof*"))
