"""Advisories of a service with OSV's API (https://google.github.io/osv.dev/api/).

What leaves the house are ecosystems, names and versions of packages, and no names that the operator calls private.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpcore2
import structlog
from pydantic_core import from_json, to_json

from domain.addresses import is_reachable
from domain.advisories.matching import judge
from domain.advisories.ranges import Installed
from domain.advisories.record import MAX_RECORD, Advisory, Record
from domain.findings import MAX_FINDINGS, Ecosystem, Package
from domain.package_names import normal_name
from domain.webhook_urls import Networks
from drivers.scanners.advisories import Matched, notices_of
from runtime.outbound import Resolve, SystemLookup, UnreachableError, UnresolvedError, dial, judged

log = structlog.get_logger(__name__)

BATCH: Final = 500
"""Packages in one question; the service takes 1,000."""
PAGES: Final = 20
MAX_IDS: Final = 5_000
REQUEST_S: Final = 30.0
TOTAL_S: Final = 180.0
TRIES: Final = 4
WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 10.0
AT_ONCE: Final = 8
KEPT: Final = 5_000
_TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_OK: Final = 200
_NOT_ACCEPTED = (httpcore2.ConnectError, httpcore2.ConnectTimeout)

Key = tuple[Ecosystem, str, str]


class ServiceError(Exception):
    """The service has no answer. The message goes on after its name."""


class OsvService:
    """Asks a service.

    Args:
        url: `http(s)://host[:port][/path]`; `/v1/...` is put behind it.
        networks: private ones that may be reached.
        private: patterns of names that are never sent, such as `@acme/*`, `com.acme:*`.
        resolve: how names become addresses; None: as the operating system does.
        total_s: seconds for all questions of one scan.
    """

    def __init__(
        self,
        url: str,
        *,
        networks: Networks = (),
        private: Sequence[str] = (),
        resolve: Resolve | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self._url = url.rstrip("/")
        self._private = tuple(private)
        self._total_s = total_s
        self._backend = _Judged(networks, resolve)
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=self._backend, max_connections=AT_ONCE, keepalive_expiry=4.0
        )
        self._kept: OrderedDict[tuple[str, str], Record] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close its connections."""
        await self._pool.aclose()
        self._backend.close()

    async def match(self, packages: Sequence[Package]) -> Matched:
        """By what the service says now."""
        public = [package for package in packages if not self._is_private(package)]
        hidden = len(packages) - len(public)
        notices = [f"{hidden} packages with private names were not asked about"] if hidden else []
        if not public:
            return Matched(as_of=_now(), notices=tuple(notices))
        try:
            async with asyncio.timeout(self._total_s):
                told = await self._told(list(dict.fromkeys(map(_key, public))))
                records = await self._records({pair for pairs in told.values() for pair in pairs})
        except TimeoutError:
            return self._away(f"it took longer than {self._total_s:.0f} s", notices)
        except ServiceError as error:
            return self._away(str(error), notices)
        return await asyncio.to_thread(_matched, public, told, records, notices)

    def _away(self, fault: str, notices: Sequence[str]) -> Matched:
        """Where it is only the operator is told."""
        log.warning("advisories.service_unavailable", url=self._url, fault=fault)
        return Matched(fault=f"the service of advisories has no answer: {fault}", notices=tuple(notices))

    def _is_private(self, package: Package) -> bool:
        return any(fnmatchcase(package.name, pattern) for pattern in self._private)

    async def _told(self, keys: Sequence[Key]) -> dict[Key, list[tuple[str, str]]]:
        """The ids of advisories of each package, with the moment of their last change."""
        told: dict[Key, list[tuple[str, str]]] = {}
        pages: list[tuple[Key, str]] = [(key, "") for key in keys]
        for _ in range(PAGES):
            following: list[tuple[Key, str]] = []
            for start in range(0, len(pages), BATCH):
                batch = pages[start : start + BATCH]
                results = await self._batch(batch)
                for (key, _), result in zip(batch, results, strict=True):
                    told.setdefault(key, []).extend(_ids(result))
                    if isinstance(token := result.get("next_page_token"), str) and token:
                        following.append((key, token))
            if not following:
                return told
            pages = following
        raise ServiceError(f"it has more than {PAGES} pages of one package")

    async def _batch(self, asked: Sequence[tuple[Key, str]]) -> list[dict[str, Any]]:
        queries = [
            {"package": {"ecosystem": ecosystem, "name": name}, "version": version}
            | ({"page_token": page} if page else {})
            for (ecosystem, name, version), page in asked
        ]
        answer = await self._ask("POST", "/v1/querybatch", to_json({"queries": queries}))
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(asked):
            raise ServiceError("it answered another number of packages than it was asked about")
        return [result if isinstance(result, dict) else {} for result in results]

    async def _records(self, wanted: set[tuple[str, str]]) -> dict[str, Record]:
        if len(wanted) > MAX_IDS:
            raise ServiceError(f"it tells of more than {MAX_IDS} advisories")
        found = await asyncio.gather(*map(self._record, sorted(wanted)))
        return {record.id: record for record in found}

    async def _record(self, wanted: tuple[str, str]) -> Record:
        if (kept := self._kept.get(wanted)) is not None:
            self._kept.move_to_end(wanted)
            return kept
        async with self._slots:
            answer = await self._ask("GET", f"/v1/vulns/{quote(wanted[0], safe='')}")
        try:
            record = Record.read(answer)
        except ValueError as error:
            raise ServiceError(f"its advisory {wanted[0]} cannot be read: {error}") from None
        if record.id != wanted[0]:
            raise ServiceError(f"it answered {record.id} for {wanted[0]}")
        self._kept[wanted] = record
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return record

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Its JSON.

        Raises:
            ServiceError: it refuses, or it has no answer after several tries.
        """
        for attempt in range(1, TRIES + 1):
            wait_s = WAIT_S * 2**attempt
            try:
                status, headers, content = await self._once(method, path, body)
            except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, TimeoutError) as error:
                fault = str(error) or "it does not answer"
            else:
                if status == _OK:
                    return _json(content)
                fault = f"it answered {status}"
                if status not in _TRY_AGAIN:
                    raise ServiceError(fault)
                wait_s = _retry_after(headers) or wait_s
            if attempt < TRIES:
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        raise ServiceError(fault)

    async def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, Mapping[bytes, bytes], bytes]:
        headers = {"Host": urlsplit(self._url).netloc, "Accept": "application/json", "User-Agent": "delivery-engine"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        async with (
            asyncio.timeout(REQUEST_S),
            self._pool.stream(method, f"{self._url}{path}", headers=list(headers.items()), content=body) as response,
        ):
            content = bytearray()
            async for chunk in response.aiter_stream():
                content += chunk
                if len(content) > MAX_RECORD:
                    raise ServiceError(f"an answer is larger than {MAX_RECORD >> 20} MiB")
            told = {name.lower(): value for name, value in response.headers}
            return response.status, told, bytes(content)


class _Judged(httpcore2.AsyncNetworkBackend):
    """Connects to judged addresses only (`runtime.outbound`)."""

    def __init__(self, networks: Networks, resolve: Resolve | None) -> None:
        self._networks = networks
        self._lookup = SystemLookup()
        self._resolve = resolve or self._lookup.resolve
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's name
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises `ServiceError` for an address that must not be reached, else `httpcore2.ConnectError`."""

        def judge_address(address: str) -> None:
            if not is_reachable(address, self._networks):
                raise ServiceError("it is not on the public internet, nor in a network of DELIVERY_EGRESS_NETWORKS")

        async def connect(address: str) -> httpcore2.AsyncNetworkStream:
            return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)

        try:
            addresses = await judged(host, self._resolve, judge_address)
            return (await dial(addresses, connect, each_s=10, all_s=20, failures=_NOT_ACCEPTED))[1]
        except UnresolvedError as error:
            raise httpcore2.ConnectError("its name cannot be looked up") from error
        except UnreachableError as error:
            raise httpcore2.ConnectError("it accepts no connections") from error

    async def sleep(self, seconds: float) -> None:
        """As the pool asks."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """End what looks names up."""
        self._lookup.close()


def _matched(
    packages: Sequence[Package],
    told: Mapping[Key, Sequence[tuple[str, str]]],
    records: Mapping[str, Record],
    notices: list[str],
) -> Matched:
    foreign: list[str] = []

    def found(package: Package) -> list[Advisory]:
        name = normal_name(package.ecosystem, package.name)
        advisories = []
        for id_, _ in told.get(_key(package), ()):
            of_it = [
                each
                for ecosystem, other, each in records[id_].packages
                if (ecosystem, other) == (package.ecosystem, name)
            ]
            advisories += of_it
            if not of_it:
                foreign.append(id_)
        return advisories

    judgement = judge(((package, found(package)) for package in packages), told=True)
    if foreign:
        notices.append(f"the service told of advisories of other packages: {', '.join(sorted(set(foreign))[:5])}")
    return Matched(
        findings=judgement.findings[:MAX_FINDINGS],
        as_of=_now(),
        fault=judgement.fault,
        notices=(*notices, *notices_of(judgement)),
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(package: Package) -> Key:
    version = Installed.of(package.ecosystem, package.version).text
    return package.ecosystem, normal_name(package.ecosystem, package.name), version


def _ids(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    vulns = result.get("vulns")
    if vulns is None:
        return []
    if not isinstance(vulns, list):
        raise ServiceError("its answer has another form than OSV's")
    pairs = [(each.get("id"), str(each.get("modified", ""))) for each in vulns if isinstance(each, dict)]
    if len(pairs) != len(vulns) or not all(isinstance(id_, str) and id_ for id_, _ in pairs):
        raise ServiceError("its answer has another form than OSV's")
    return [(str(id_), modified) for id_, modified in pairs]


def _json(content: bytes) -> dict[str, Any]:
    try:
        told = from_json(content)
    except ValueError:
        raise ServiceError("its answer is no JSON") from None
    if not isinstance(told, dict):
        raise ServiceError("its answer has another form than OSV's")
    return told


def _retry_after(headers: Mapping[bytes, bytes]) -> float:
    told = headers.get(b"retry-after", b"")
    return float(told) if told.isdigit() and len(told) <= 6 else 0.0  # noqa: PLR2004 - more is no time to wait
