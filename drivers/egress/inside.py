"""The egress proxy as isolated code sees it: a local port, variables that announce it, names of listed hosts.

The only network inside is a loopback of its own. The bridge listens there and joins each connection to the proxy's
socket outside; so no name is ever resolved inside.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from domain.destinations import Destination
from drivers.bridge.network import BRIDGE, Forward, Network
from drivers.egress.sandboxes import SOCKET

ADDRESS, PORT = "127.0.0.1", 3128
_URL = f"http://{ADDRESS}:{PORT}"
_NONE = "localhost,127.0.0.0/8,127.0.0.1,::1"
# Properties for JVMs, which ignore the variables. The last two make Maven (3.9; 4) obey the others.
_JAVA = " ".join(
    (
        f"-Dhttp.proxyHost={ADDRESS} -Dhttp.proxyPort={PORT} -Dhttps.proxyHost={ADDRESS} -Dhttps.proxyPort={PORT}",
        "-Dhttp.nonProxyHosts=localhost|127.*|[::1]",
        "-Daether.connector.http.useSystemProperties=true -Daether.transport.apache.useSystemProperties=true",
    )
)
JAVA = "JAVA_TOOL_OPTIONS"
# ssh has no proxy variables, and git, rsync and scp start it. A repository's own settings override this.
_SSH = f"""\
Host localhost 127.* ::1
    ProxyCommand none
Host *
    ProxyCommand {BRIDGE} --connect {ADDRESS}:{PORT} %h %p
"""
_FILES = {"/etc/ssh/ssh_config": _SSH.encode()}
# Host names get addresses from 127.0.1.1 on, since 127.0.0.1 is the service's.
_FIRST = 0x7F000101
MAX_HOSTS: Final = 254


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Variables that announce the proxy, unless the code's own variables override them.

    `ALL_PROXY` is HTTP too: clients without SOCKS support fail on `socks5h://` (httpx without its extra, at import),
    while all clients with SOCKS can do CONNECT. The same port also serves SOCKS.

    Args:
        given: variables from delivery.yaml.
    """
    proxies = {name: _URL for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (upper, upper.lower())}
    told = {
        **proxies,
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _NONE),
        "NODE_USE_ENV_PROXY": "1",  # node's own fetch and http, since 22.21 and 24.5
        "YARN_HTTP_PROXY": _URL,
        "YARN_HTTPS_PROXY": _URL,
        JAVA: f"{_JAVA} {given[JAVA]}" if JAVA in given else _JAVA,
    }
    return {name: value for name, value in told.items() if name not in given or name == JAVA}


def hosts(listed: Sequence[Destination]) -> dict[str, str]:
    """An address for each listed name, for /etc/hosts."""
    names = dict.fromkeys(each.host for each in listed)
    if len(names) > MAX_HOSTS:
        raise ValueError(f"at most {MAX_HOSTS} hosts have addresses inside")
    return {name: _address(index) for index, name in enumerate(names)}


def network(door: Path | None, listed: Sequence[Destination] = (), *, serves: int | None = None) -> Network:
    """The network of a sandbox.

    Args:
        door: its egress (`Sandboxes.open`); None: no egress.
        listed: what its `service.egress` lists.
        serves: the port inside that is reachable from outside, if any.
    """
    if door is None:
        return Network(serves)
    socket, at = door / SOCKET, hosts(listed)
    forwards = [Forward(at[each.host], each.port, socket, str(each)) for each in dict.fromkeys(listed)]
    return Network(serves, (Forward(ADDRESS, PORT, socket), *forwards), hosts=at, files=_FILES, proxied=True)


def _address(index: int) -> str:
    number = _FIRST + index
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
