"""What builds, instances and organizations may take: the settings, and where they say nothing, this machine's size."""

from dataclasses import dataclass

from domain.ceilings import DEFAULT_CEILING, Ceiling
from domain.shares import Share, Use, share_of_machine, use_of_machine
from runtime.machine import Machine, measured
from runtime.settings import Settings

# No single build or instance has all of the machine.
_LEAST_MEMORY_MB, _LEAST_DISK_MB = 1024, 1024


@dataclass(frozen=True)
class Caps:
    """For each build, each instance, and the instances of one organization together: to be allowed, and to use."""

    build: Ceiling
    instance: Ceiling
    organization: Share
    use: Use

    def told(self) -> dict[str, int]:
        """For the log."""
        return {
            "build_memory_mb": self.build.memory_mb,
            "build_disk_mb": self.build.disk_mb,
            "instance_memory_mb": self.instance.memory_mb,
            "instance_disk_mb": self.instance.disk_mb,
            "instances_per_organization": self.organization.instances,
            "instance_memory_mb_per_organization": self.organization.memory_mb,
            "instance_disk_mb_per_organization": self.organization.disk_mb,
            "memory_mb_per_organization": self.use.memory_mb,
            "disk_mb_per_organization": self.use.disk_mb,
            "processes_per_organization": self.use.processes,
            "open_files_per_organization": self.use.files,
        }


def caps(settings: Settings, machine: Machine | None = None) -> Caps:
    """Those that are in force; `machine`: None: this one, now."""
    machine = machine or measured(settings.data_dir)
    memory_mb = max(_LEAST_MEMORY_MB, min(DEFAULT_CEILING.memory_mb, machine.memory_mb * 3 // 4))
    disk_mb = max(_LEAST_DISK_MB, min(DEFAULT_CEILING.disk_mb, machine.disk_mb // 2))
    usual = share_of_machine(machine.memory_mb, machine.disk_mb)
    used = use_of_machine(machine.memory_mb, machine.disk_mb, machine.processes, machine.files)
    return Caps(
        build=Ceiling(
            settings.build_memory_mb or memory_mb,
            settings.build_processes,
            settings.build_disk_mb or disk_mb,
            settings.build_cpus,
        ),
        instance=Ceiling(
            settings.instance_memory_mb or memory_mb,
            settings.instance_processes,
            settings.instance_disk_mb or disk_mb,
            settings.instance_cpus,
            settings.instance_open_files,
        ),
        organization=Share(
            settings.instances_per_organization or usual.instances,
            settings.instance_memory_mb_per_organization or usual.memory_mb,
            settings.instance_disk_mb_per_organization or usual.disk_mb,
        ),
        use=Use(
            settings.memory_mb_per_organization or used.memory_mb,
            settings.disk_mb_per_organization or used.disk_mb,
            settings.processes_per_organization or used.processes,
            settings.open_files_per_organization or used.files,
        ),
    )
