"""Network access and credentials for the git of one fetch: the proxy, ssh's configuration, the credential helper."""

import json
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from domain.repository_url import RepositoryUrl, Scheme
from drivers.sources.base import GitCredentials
from drivers.sources.egress import EgressGuard
from drivers.sources.hosts import HostGuard
from drivers.sources.known_hosts import known_hosts
from drivers.sources.memory import MemoryFile

SSH_CONFIG = "ssh_config"
KNOWN_HOSTS = "known_hosts"
_HERE = Path(__file__).parent
# ssh's only configuration: no agent, no files of our user, no prompts, only known host keys.
_SSH = """\
Host *
BatchMode yes
ClearAllForwardings yes
ConnectTimeout 30
ForwardAgent no
GlobalKnownHostsFile /dev/null
IdentitiesOnly yes
IdentityAgent none
IdentityFile {key}
PermitLocalCommand no
PreferredAuthentications publickey
ProxyCommand {proxy} %h %p
StrictHostKeyChecking yes
UpdateHostKeys no
UserKnownHostsFile {known_hosts}
VerifyHostKeyDNS no
"""


@dataclass(frozen=True)
class Transport:
    """The part that `GitRunner` needs.

    Attributes:
        config: git's configuration, without secrets, since it is in command lines.
        env: git's environment, with the proxy's random password and the path of the token's file.
        files: contents by name, for git's folder.
        egress: the proxy; None for local folders.
        token_is_used: whether the project's token is offered to the server.
    """

    config: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)
    egress: EgressGuard | None = None
    token_is_used: bool = False


@asynccontextmanager
async def opened(
    address: RepositoryUrl, credentials: GitCredentials, guard: HostGuard, *, home: Path, operators: Path | None
) -> AsyncIterator[Transport]:
    """The transport to a checked repository (`HostGuard.check`), for the duration of the fetch.

    Args:
        address: of the repository.
        credentials: of its project.
        guard: which addresses are allowed.
        home: git's folder for this fetch.
        operators: the operator's `known_hosts` file.

    Raises:
        TerminalError: as `HostGuard.check` and `known_hosts`.
    """
    on_loopback = await guard.check(address)
    if address.scheme is Scheme.FILE:
        yield Transport()
        return
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(EgressGuard(address, guard))
        if address.scheme is Scheme.SSH:
            yield _over_ssh(stack, egress, credentials, home, operators)
        else:
            # Over plain http a token may only be sent on this machine.
            safe = address.scheme is Scheme.HTTPS or on_loopback
            token = credentials.token if safe and credentials.token_host == address.authority else ""
            yield _over_http(stack, egress, address, credentials if token else GitCredentials())


def _over_http(
    stack: AsyncExitStack, egress: EgressGuard, address: RepositoryUrl, credentials: GitCredentials
) -> Transport:
    env = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "http.proxy",
        "GIT_CONFIG_VALUE_0": egress.url,
        "GIT_CONFIG_KEY_1": "http.proxyAuthMethod",
        "GIT_CONFIG_VALUE_1": "basic",
    }
    if not credentials.token:
        return Transport(env=env, egress=egress)
    known = {
        "protocol": str(address.scheme),
        "host": address.authority,
        "username": credentials.user,
        "password": credentials.token,
    }
    memory = stack.enter_context(MemoryFile(json.dumps(known).encode()))
    helper = f"credential.{address.scheme}://{address.authority}.helper=!{_program('git_credential_helper.py')}"
    return Transport((helper,), {**env, "DELIVERY_GIT_CREDENTIAL": memory.path}, egress=egress, token_is_used=True)


def _over_ssh(
    stack: AsyncExitStack, egress: EgressGuard, credentials: GitCredentials, home: Path, operators: Path | None
) -> Transport:
    key = "none"
    if credentials.ssh_key:
        text = credentials.ssh_key.replace("\r\n", "\n").strip() + "\n"  # ssh requires a newline at the key's end
        key = stack.enter_context(MemoryFile(text.encode())).path
    place = str(home.absolute() / KNOWN_HOSTS).replace("%", "%%")
    config = _SSH.format(key=key, proxy=_program("ssh_proxy_command.py").replace("%", "%%"), known_hosts=f'"{place}"')
    files = {SSH_CONFIG: config, KNOWN_HOSTS: known_hosts(operators, credentials.known_hosts)}
    return Transport(env={"DELIVERY_EGRESS": egress.words}, files=files, egress=egress)


def _program(name: str) -> str:
    """A shell command that runs one of the small programs beside this file."""
    return shlex.join([sys.executable, "-I", "-S", str(_HERE / name)])
