"""Where a repository's host leads: names are resolved and every answer is judged before git connects."""

import asyncio
import socket

from domain.addresses import is_public
from domain.errors import DependencyError, ErrorCode, TerminalError
from domain.repository_url import RepositoryUrl, Scheme

RESOLVE_TIMEOUT_S = 15


async def check_host(address: RepositoryUrl, *, allow_private: bool) -> None:
    """Refuse hosts that lead to loopback, private or metadata addresses, unless allowed.

    Git resolves the name again when it connects; pinning the judged address is not done yet.

    Raises:
        TerminalError: SOURCE_FORBIDDEN, or SOURCE_NOT_FOUND when the name does not exist.
        DependencyError: the resolver does not answer.
    """
    if address.host is None:
        return
    public = [is_public(ip) for ip in await _resolve(address.host)]
    if not allow_private and not all(public):
        raise TerminalError(
            f"{address.host} leads to a private or loopback address; repositories must be on the public internet",
            code=ErrorCode.SOURCE_FORBIDDEN,
            details={"host": address.host},
        )
    if address.scheme is Scheme.HTTP and any(public):
        raise TerminalError(
            f"plain http is accepted for private addresses only; use https://{address.host}/...",
            code=ErrorCode.SOURCE_FORBIDDEN,
            details={"host": address.host},
        )


async def _resolve(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise DependencyError(f"the address of {host} could not be looked up in time") from None
    except (socket.gaierror, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise DependencyError(f"the address of {host} cannot be looked up now") from None
        raise TerminalError(
            f"there is no host {host}; check the repository's address",
            code=ErrorCode.SOURCE_NOT_FOUND,
            details={"host": host},
        ) from None
    return [str(entry[4][0]) for entry in found]
