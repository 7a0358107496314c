"""Metrics exported by the services themselves, read from the operator's Prometheus server by a policy's queries."""

import asyncio
from collections.abc import Mapping, Sequence

import httpx2
import structlog
from pydantic import BaseModel, ValidationError

from domain.canary.counts import SideCounts
from domain.canary.metric_scope import MetricsPlace, MetricsScope
from domain.canary.metric_source import PrometheusQueries
from domain.canary.policy import AnalysisPolicy
from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.metrics.promql import FIGURE, SIDE, Binding, combined, labelled
from drivers.metrics.scoping import parsed, scoped
from drivers.metrics.vectors import Series, side_counts

log = structlog.get_logger(__name__)

ANSWER_LIMIT_S = 5.0
MAX_ANSWER = 1 << 20
# Maximum length of the server's messages in the operator's log.
MAX_WORDS = 300
# Tenants see only the kind of an error: the server's message may contain other tenants' labels, or addresses.
_KINDS = {
    "timeout": "the query takes too long",
    "canceled": "the query was cancelled",
    "execution": "the query cannot be carried out, or asks for too much",
    "internal": "an error of its own",
    "unavailable": "it is not ready",
    "too_many_requests": "it is asked too often",
}
_REFUSES_US = (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN)


class Data(BaseModel):
    """The result of an instant query; `isPartial` is VictoriaMetrics' name for a warning."""

    resultType: str  # noqa: N815 - Prometheus's name
    result: list[Series]


class Answer(BaseModel):
    """The body of every answer of Prometheus's API, successful or not."""

    status: str
    data: Data | None = None
    error: str = ""
    errorType: str = ""  # noqa: N815 - Prometheus's name
    warnings: list[str] = []
    isPartial: bool = False  # noqa: N815 - VictoriaMetrics' name


class PrometheusMetrics:
    """Implements `drivers.metrics.base.MetricProvider`.

    Args:
        url: base URL of the server, from the operator; empty: no server.
        token: bearer token; empty: none is sent.
        scope: labels added to every selector of a tenant's queries; empty: none.
        trusted: whether queries may be sent unchanged if there is no scope.
        limit_s: timeout of a request in seconds.
    """

    def __init__(
        self, url: str, token: str = "", *, scope: str = "", trusted: bool = False, limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self._url = url
        self._token = token
        self._scope = MetricsScope.parse(scope) if scope else None
        self._trusted = trusted
        self._limit_s = limit_s
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # A redirect would send the token and the queries to another server: it counts as a wrong URL.
        self._client = httpx2.AsyncClient(headers=headers, trust_env=False, follow_redirects=False, timeout=limit_s)

    async def close(self) -> None:
        await self._client.aclose()

    async def read(
        self, release_ids: Sequence[str], policy: AnalysisPolicy, place: MetricsPlace, /
    ) -> Mapping[str, SideCounts]:
        """All releases from one answer, at the server's own time: if our clock were wrong, it would find nothing."""
        queries = self._queries(policy)
        bind = self._binding(place)
        answer = await self._ask(combined(queries, release_ids, bind))
        if answer.errorType == "bad_data":
            raise await self._blamed(queries, release_ids[0], bind, answer)
        sides: dict[str, dict[str, list[Series]]] = {
            str(side): {name: [] for name in queries.given()} for side in range(len(release_ids))
        }
        _deal(_vector(answer), sides)
        return {release_id: side_counts(sides[str(side)]) for side, release_id in enumerate(release_ids)}

    def _queries(self, policy: AnalysisPolicy) -> PrometheusQueries:
        if not self._url:
            raise TerminalError(
                "analysis.provider is prometheus, but no Prometheus server is known here; the operator names one by "
                "the setting DELIVERY_PROMETHEUS_URL; analysis.provider: router needs none",
                code=ErrorCode.SERVICE_UNAVAILABLE,
            )
        if policy.prometheus is None:
            raise TerminalError("analysis.prometheus has no queries", code=ErrorCode.SPEC_INVALID)
        return policy.prometheus

    def _binding(self, place: MetricsPlace) -> Binding:
        """How a query is bound to the tenant's series. Our token can read every tenant's."""
        if self._scope is not None:
            labels = self._scope.of(place)
            return lambda query, key: scoped(query, labels, key)
        if not self._trusted:
            raise TerminalError(
                "analysis.provider is prometheus, but nothing says which series are yours; the operator does by the "
                "setting DELIVERY_PROMETHEUS_SCOPE; analysis.provider: router needs none",
                code=ErrorCode.SERVICE_UNAVAILABLE,
            )
        return lambda query, _: query

    async def _blamed(self, queries: PrometheusQueries, release_id: str, bind: Binding, whole: Answer) -> TerminalError:
        """Which of the queries Prometheus rejects: each is sent alone."""
        for figure, template in queries.given().items():
            alone = await self._ask(labelled(template, release_id, figure, bind))
            if alone.errorType == "bad_data":
                asked = labelled(template, release_id, figure, lambda query, _: query)
                return _not_understood(f"analysis.prometheus.{figure}", alone, asked)
        return _not_understood("analysis.prometheus", whole)

    async def _ask(self, query: str) -> Answer:
        """Raises `DependencyError` unless the answer is complete: a result, or a rejection of the query."""
        form = {"query": query, "timeout": f"{self._limit_s:g}s"}
        try:
            async with (
                asyncio.timeout(self._limit_s),
                self._client.stream("POST", f"{self._url}/api/v1/query", data=form) as response,
            ):
                return self._checked(response.status_code, await _body(response))
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise DependencyError(f"Prometheus did not answer within {self._limit_s:g} s") from error
        except httpx2.HTTPError as error:
            raise DependencyError(f"Prometheus cannot be asked: {type(error).__name__}") from error

    def _checked(self, status: int, body: bytes) -> Answer:
        """The server's messages may quote the request, so the token is removed from them."""
        return _checked(status, body.replace(self._token.encode(), b"***") if self._token else body)


async def _body(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise DependencyError("Prometheus answered more than 1 MiB; let the queries sum up what they find")
    return body


def _checked(status: int, body: bytes) -> Answer:
    if status in _REFUSES_US:
        raise DependencyError(f"Prometheus refuses us ({status}); the operator's DELIVERY_PROMETHEUS_TOKEN is wrong")
    try:
        answer = Answer.model_validate_json(body)
    except ValidationError:
        raise DependencyError(f"what answered ({status}) does not speak as Prometheus does") from None
    if answer.isPartial:
        raise DependencyError("Prometheus answered with a warning: the result is partial")
    if answer.warnings:
        log.warning("prometheus.warned", words=answer.warnings[0][:MAX_WORDS])
        raise DependencyError(f"Prometheus answered with a warning, so that it may not be the whole result{_ASK}")
    if answer.errorType != "bad_data" and (answer.status != "success" or status != httpx2.codes.OK):
        log.warning(
            "prometheus.failed", status=status, kind=answer.errorType[:MAX_WORDS], words=answer.error[:MAX_WORDS]
        )
        raise DependencyError(f"Prometheus could not answer ({status}){_kind(answer)}{_ASK}")
    return answer


def _vector(answer: Answer) -> Sequence[Series]:
    if answer.data is None or answer.data.resultType != "vector":
        raise DependencyError("Prometheus answered without a vector")
    return answer.data.result


def _deal(vector: Sequence[Series], sides: Mapping[str, Mapping[str, list[Series]]]) -> None:
    """Assign each series to its figure."""
    for series in vector:
        side, figure = series.metric.pop(SIDE, ""), series.metric.pop(FIGURE, "")
        if figure not in sides.get(side, {}):
            raise DependencyError("Prometheus answered with series that were not asked for; is a parenthesis missing?")
        sides[side][figure].append(series)


_ASK = "; the operator's log has its words"


def _kind(answer: Answer) -> str:
    known = _KINDS.get(answer.errorType)
    return f": {known}" if known else ""


def _not_understood(key: str, answer: Answer, query: str = "") -> TerminalError:
    """The query's error as our own parser reports it, if it does."""
    log.warning("prometheus.not_understood", key=key, words=answer.error[:MAX_WORDS])
    if query:
        try:
            parsed(query, key)
        except TerminalError as error:
            return error
    return TerminalError(f"Prometheus does not understand {key}{_ASK}", code=ErrorCode.SPEC_INVALID)
