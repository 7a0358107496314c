"""What isolated code finds of the way out: a local port, variables that tell of it, names of what its service lists.

Inside there is no network but a loopback of its own. The bridge listens there and joins each connection to the socket
of the proxy outside; so no name is ever looked up inside.
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
# Properties of a JVM, which does not read the variables. The last two make Maven (3.9; 4) obey the others.
_JAVA = " ".join(
    (
        f"-Dhttp.proxyHost={ADDRESS} -Dhttp.proxyPort={PORT} -Dhttps.proxyHost={ADDRESS} -Dhttps.proxyPort={PORT}",
        "-Dhttp.nonProxyHosts=localhost|127.*|[::1]",
        "-Daether.connector.http.useSystemProperties=true -Daether.transport.apache.useSystemProperties=true",
    )
)
JAVA = "JAVA_TOOL_OPTIONS"
# ssh knows no variables, and git, rsync and scp start it. What a repository's own settings say goes before.
_SSH = f"""\
Host localhost 127.* ::1
    ProxyCommand none
Host *
    ProxyCommand {BRIDGE} --connect {ADDRESS}:{PORT} %h %p
"""
_FILES = {"/etc/ssh/ssh_config": _SSH.encode()}
# Names of hosts get addresses from 127.0.1.1 on: not 127.0.0.1, which is the service's own.
_FIRST = 0x7F000101
MAX_HOSTS: Final = 254


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Variables that tell programs of the proxy, as far as the code's own do not say something else.

    `ALL_PROXY` is HTTP too: a client that knows SOCKS in name only breaks by a `socks5h://` there (httpx without its
    extra, at its first import), while all that do SOCKS do CONNECT. On the same port there is SOCKS for who wants it.

    Args:
        given: what delivery.yaml sets.
    """
    proxies = {name: _URL for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (upper, upper.lower())}
    told = {
        **proxies,
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _NONE),
        "NODE_USE_ENV_PROXY": "1",  # node's own fetch and http, from 22.21 and 24.5 on
        "YARN_HTTP_PROXY": _URL,
        "YARN_HTTPS_PROXY": _URL,
        JAVA: f"{_JAVA} {given[JAVA]}" if JAVA in given else _JAVA,
    }
    return {name: value for name, value in told.items() if name not in given or name == JAVA}


def hosts(listed: Sequence[Destination]) -> dict[str, str]:
    """An address for each name that is listed, for /etc/hosts."""
    names = dict.fromkeys(each.host for each in listed)
    if len(names) > MAX_HOSTS:
        raise ValueError(f"at most {MAX_HOSTS} hosts have addresses inside")
    return {name: _address(index) for index, name in enumerate(names)}


def network(door: Path | None, listed: Sequence[Destination] = (), *, serves: int | None = None) -> Network:
    """The network of a sandbox.

    Args:
        door: its way out (`Sandboxes.open`); None: it has none.
        listed: what its `service.egress` lists.
        serves: the port inside that is reached from outside, if one is.
    """
    if door is None:
        return Network(serves)
    socket, at = door / SOCKET, hosts(listed)
    forwards = [Forward(at[each.host], each.port, socket, str(each)) for each in dict.fromkeys(listed)]
    return Network(serves, (Forward(ADDRESS, PORT, socket), *forwards), hosts=at, files=_FILES, proxied=True)


def _address(index: int) -> str:
    number = _FIRST + index
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
