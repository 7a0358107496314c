"""What an organization may take is made from the machine's size, unless the operator says it."""

from pathlib import Path

import pytest

from domain.shares import Share, Use
from runtime.caps import caps
from runtime.machine import Machine, measured
from runtime.settings import Settings

GIB = 1024
LAPTOP = Machine(memory_mb=4 * GIB, disk_mb=30 * GIB)
USUAL = Machine(memory_mb=24 * GIB, disk_mb=100 * GIB)
SERVER = Machine(memory_mb=512 * GIB, disk_mb=4096 * GIB)
# Of a service whose delivery.yaml says nothing about it.
DEFAULT_MEMORY_MB = 1024


@pytest.mark.parametrize("machine", [LAPTOP, USUAL, SERVER])
def test_unset_nobody_may_take_much_more_than_the_machine_has(machine: Machine) -> None:
    found = caps(Settings(), machine)
    assert found.organization.memory_mb <= 4 * machine.memory_mb
    assert found.organization.disk_mb <= max(4 * machine.disk_mb, 262_144)
    assert found.organization.instances <= 200
    assert found.use.memory_mb <= machine.memory_mb // 2
    assert found.use.disk_mb <= machine.disk_mb // 2
    assert found.use.processes <= machine.processes // 4
    assert found.use.files <= machine.files // 4
    for one in (found.build, found.instance):
        assert one.memory_mb < machine.memory_mb
        assert one.disk_mb < machine.disk_mb


@pytest.mark.parametrize("machine", [Machine(memory_mb=1 * GIB, disk_mb=8 * GIB), LAPTOP, USUAL, SERVER])
def test_a_dozen_ordinary_services_and_a_next_version_fit_everywhere(machine: Machine) -> None:
    found = caps(Settings(), machine)
    one = found.instance.lowered(memory_mb=DEFAULT_MEMORY_MB)
    dozen = Share().plus(Share(1, one.memory_mb, one.disk_mb), 13)
    assert dozen.beyond(found.organization) is None


def test_the_operators_word_overrules_the_machine() -> None:
    settings = Settings(
        instances_per_organization=3,
        instance_memory_mb_per_organization=100,
        instance_disk_mb_per_organization=200,
        instance_memory_mb=50,
        instance_disk_mb=60,
        build_memory_mb=70,
        build_disk_mb=80,
        memory_mb_per_organization=90,
        disk_mb_per_organization=91,
        processes_per_organization=92,
        open_files_per_organization=300,
    )
    found = caps(settings, LAPTOP)
    assert found.organization == Share(3, 100, 200)
    assert (found.instance.memory_mb, found.instance.disk_mb) == (50, 60)
    assert (found.build.memory_mb, found.build.disk_mb) == (70, 80)
    assert found.use == Use(90, 91, 92, 300)


@pytest.mark.parametrize(
    ("files", "memory_mb"),
    [
        ({}, 8192),
        ({"proc/self/cgroup": "0::/\n"}, 8192),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 8192),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n"}, 1024),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2147483648\n"}, 2048),
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n4:memory,pids:/docker/1\n",
                "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "3221225472\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            3072,
        ),
        ({"proc/self/cgroup": "5:cpu:/x\n0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512),
    ],
)
def test_a_container_is_as_large_as_its_limit(tmp_path: Path, files: dict[str, str], memory_mb: int) -> None:
    for name, text in {"proc/meminfo": "MemFree: 1 kB\nMemTotal:        8388608 kB\n", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert measured(tmp_path / "not" / "there", tmp_path).memory_mb == memory_mb


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert found.memory_mb > 256
    assert found.disk_mb > 256
