"""A collector of traces: the spans that came by OTLP over HTTP, and the tree they make."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from tests.support.receiver import Received, Receiver, Reply

TRACES = "/v1/traces"


@dataclass(frozen=True)
class Told:
    """One span as it arrived; times in nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any] = field(hash=False)
    links: tuple[tuple[str, str], ...] = ()
    text: str = ""
    """All of it, to look for what must not be in it."""


@dataclass(frozen=True)
class Trace:
    """The spans of one trace."""

    spans: tuple[Told, ...]

    @cached_property
    def by_id(self) -> dict[str, Told]:
        return {span.span_id: span for span in self.spans}

    @property
    def names(self) -> Counter[str]:
        return Counter(span.name for span in self.spans)

    @property
    def repeated(self) -> list[str]:
        """Names of spans that came twice: the same id."""
        counts = Counter(span.span_id for span in self.spans)
        return [self.by_id[each].name for each, count in counts.items() if count > 1]

    @property
    def roots(self) -> list[Told]:
        """Those without a parent among what arrived."""
        return [span for span in self.spans if span.parent_id not in self.by_id]

    def named(self, name: str) -> Told:
        """The first of that name; KeyError: there is none."""
        found = next((span for span in self.spans if span.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def line(self, span: Told) -> list[str]:
        """Names from the root to a span."""
        above = self.by_id.get(span.parent_id)
        return [*(self.line(above) if above else []), span.name]

    def below(self, span: Told) -> Iterator[Told]:
        """Its children, by time."""
        return iter(sorted((one for one in self.spans if one.parent_id == span.span_id), key=lambda one: one.start))


def collector() -> Receiver:
    """Takes whatever is sent."""
    receiver = Receiver()
    receiver.answer = lambda _: Reply(200)
    return receiver


def spans_of(received: Iterable[Received]) -> Iterator[Told]:
    """All spans among the requests."""
    for sent in [one for one in received if one.path == TRACES]:
        for resource in ExportTraceServiceRequest.FromString(sent.body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                yield from (_told(span, service) for span in scope.spans)


def traces_of(received: Iterable[Received]) -> dict[str, Trace]:
    """By their ids."""
    found: dict[str, list[Told]] = defaultdict(list)
    for span in spans_of(received):
        found[span.trace_id].append(span)
    return {trace_id: Trace(tuple(spans)) for trace_id, spans in found.items()}


def _told(span: WireSpan, service: str) -> Told:
    return Told(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        text=str(span),
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}
