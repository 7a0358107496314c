"""The shim spec of an instance's command."""

import hashlib
import re
import uuid

from domain.ceilings import Ceiling
from drivers.clean_env import code_environment
from drivers.place import Place
from drivers.shim.spec import ShimSpec
from drivers.targets.base import InstanceSpec
from drivers.targets.process.folder import InstanceFolder, InstanceRecord

_LOG_BYTES = 10 * 1024 * 1024
# For the bridge, which needs two per connection of its service.
_BRIDGE_FILES = 65_536
# Characters that make a line more than one plain command; without them `exec` replaces the shell and SIGTERM arrives.
_SIGNS = frozenset({":", "!", "[", "[["})
_NAME = re.compile(r"[A-Za-z0-9_./+@%,-]+")
_COMPOUND = frozenset(";&|(){}\n`")
# The shell itself distinguishes programs, which have a path, from built-ins and keywords, which `exec` cannot run.
_ONE_COMMAND = """\
case "$(command -v -- {program})" in
*/*)
exec {command}
;;
*)
{command}
;;
esac"""


def shim_spec(
    folder: InstanceFolder, spec: InstanceSpec, record: InstanceRecord, where: Place, ceiling: Ceiling
) -> ShimSpec:
    """Restarted forever, with a growing backoff; the log keeps two files."""
    most = ceiling.lowered(memory_mb=spec.memory_mb, processes=spec.processes, disk_mb=spec.disk_mb)
    given = {**spec.env, **spec.secrets}
    port = {"PORT": str(record.port)} if spec.listens else {}
    environment = code_environment(where, record.search_path, given, port)
    command = where.command(("/bin/sh", "-c", shell_line(spec.command)), environment)
    return ShimSpec(
        argv=command.argv,
        cwd=str(folder.app),
        env=command.env,
        inputs=command.inputs,
        cookie=hashlib.sha256(str(folder.path.resolve()).encode()).hexdigest()[:32],
        log_path=str(folder.log),
        log_max_bytes=_LOG_BYTES,
        on_full_log="rotate",
        memory_mb=most.memory_mb,
        processes=most.processes + where.levels + bool(where.inner),
        open_files=most.open_files,
        wrapper_files=max(most.open_files, _BRIDGE_FILES) if where.inner else None,
        cpus=most.cpus,
        disk_mb=most.disk_mb,
        disk_folders=[str(each) for each in (folder.app, folder.home, folder.tmp)],
        scratch=[str(each) for each in folder.scratch],
        stop_timeout_s=spec.stop_timeout_s,
        restart=True,
        wrapper_levels=where.levels,
        port=record.port if spec.listens and not record.has_door else None,
        door=record.address if record.has_door else None,
    )


def once(shim: ShimSpec, timeout_s: float) -> ShimSpec:
    """The same for a command that runs once, has no port and must keep the beginning of its output."""
    return shim._replace(
        restart=False,
        timeout_s=timeout_s,
        port=None,
        door=None,
        on_full_log="cut",
        env={name: value for name, value in shim.env.items() if name != "PORT"},
        run_id=uuid.uuid4().hex,
    )


def shell_line(command: str) -> str:
    """The command with `exec` if it is one plain command, else unchanged."""
    words = command.split()
    if not words or _COMPOUND & set(command) or "=" in words[0] or words[0] in _SIGNS:
        return command
    if not _NAME.fullmatch(words[0]):  # quoted, or a variable: never a built-in
        return f"exec {command}"
    return _ONE_COMMAND.format(program=words[0], command=command)
