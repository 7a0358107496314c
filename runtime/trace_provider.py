"""What traces are made with: OpenTelemetry's SDK, safe where workflows replay. Loaded only where traces are sent."""

import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes
from temporalio import workflow
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider, create_tracer_provider

from runtime.logging import clean_text
from runtime.tracing import SAME_BELOW, has_room, trace_id_of

# A name of the attributes of a request's span, and of no other's: what has it may begin a trace.
REQUEST: Final = "http.request.method"
# The environment's entity lives for ever, and serves many deliveries: it is in none of their traces.
QUIET: Final = ("RunWorkflow:Environment",)
# In the state of what it does by itself, from run to run: it carries the id of the delivery that started it.
_NO_TRACE: Final = TraceState([("delivery", "none")])
MAX_TEXT: Final = 2000
MAX_TRACEBACK: Final = 8000
# PostgreSQL quotes whole rows in it.
_DETAIL: Final = re.compile(r"\nDETAIL: .*?(?=\n(?:HINT|CONTEXT|\[SQL)|\n\n|\Z)", re.DOTALL)
# What stands open from one task of a workflow to another; the names are temporalio's.
_STAY_OPEN: Final = (
    "RunWorkflow:",
    "HandleSignal:",
    "HandleUpdate:",
    "SignalExternalWorkflow:",
    "SignalChildWorkflow:",
    "StartChildWorkflow:",
)
_SECOND_START: Final = "WorkflowAlreadyStartedError"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_NOTHING: Final = Context()
# A statement of a request that leads to nothing else is told if it took at least so long.
LONG_NS: Final = 20_000_000
_Statement = tuple[str, int, int, str | None]
_UNSET: Final = Status(StatusCode.UNSET)
_SCOPE: Final = InstrumentationScope("delivery")


class RequestsBegin(Sampler):
    """Requests begin traces, as the operator's own sampler says; what is below is recorded if its trace is."""

    def __init__(self, roots: Sampler) -> None:
        self.roots = roots
        self._below = ParentBased(roots)

    def should_sample(  # noqa: PLR0917 - as the SDK calls it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        begins = parent.is_valid or (attributes is not None and REQUEST in attributes)
        if not begins:
            return SamplingResult(Decision.DROP)
        if name.startswith(QUIET):
            return SamplingResult(Decision.DROP, trace_state=_NO_TRACE)
        return self._below.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RequestsBegin{{{self.roots.get_description()}}}"

    def decides(self, name: str, attributes: Mapping[str, Any], *, wanted: bool) -> bool:
        """Whether a trace that somebody else began is recorded here. Their trace id decides nothing: they chose it.

        `wanted`: their flag. Without it nothing is recorded by a sampler that follows parents; with it, or by any
        other sampler, it is as if the trace began here.
        """
        if not wanted and isinstance(self.roots, ParentBased):
            return False
        drawn = random.getrandbits(128)
        result = self.roots.should_sample(_NOTHING, drawn, name, SpanKind.SERVER, dict(attributes))
        return result.decision is Decision.RECORD_AND_SAMPLE


class WorkflowsEndTheirOwn(BatchSpanProcessor):
    """A workflow that leaves the cache or its process ends nothing: it goes on elsewhere, and is told at its end.

    Its frames are closed then, and spans with them, by the garbage collector at times, which is in no workflow.
    """

    def on_end(self, span: ReadableSpan) -> None:
        if workflow.in_workflow() or not span.name.startswith(_STAY_OPEN):
            super().on_end(span)


class CleanExporter(SpanExporter):
    """Before spans leave: errors lose passwords in URLs and rows of the database; the second of two starts is none.

    API and relay both start what was committed; who comes second has nothing to tell.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([_clean(span) for span in spans if not _is_second_start(span)])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


class OneResource(Resource):
    """What this process is. The exporter asks each span for its resource's hash, which the SDK computes from JSON."""

    def __init__(self, made: Resource) -> None:
        super().__init__(made.attributes, made.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class Tracing:
    """The spans of this process."""

    def __init__(
        self, provider: ReplaySafeTracerProvider, sampler: RequestsBegin, processor: SpanProcessor, resource: Resource
    ) -> None:
        self._tracer = provider.get_tracer(_SCOPE.name)
        self._sampler = sampler
        self._processor = processor
        self._resource = resource
        # Requests that have led to nothing else yet, and their statements: without the span, which would keep itself.
        self._held: WeakKeyDictionary[Span, list[_Statement]] = WeakKeyDictionary()

    def current(self) -> Span:
        return trace.get_current_span()

    def traceparent(self) -> str | None:
        """The current span as W3C writes it."""
        found = trace.get_current_span().get_span_context()
        return _written(found) if found.is_valid and found.trace_state.get("delivery") is None else None

    def lead_on(self) -> None:
        """Something else follows from the current request: its statements are told, those before and those to come."""
        current = trace.get_current_span()
        for statement in self._held.pop(current, ()):
            self._tell(current, *statement)

    def over(self, request: Span) -> None:
        """It has ended: what it led to is known."""
        self._held.pop(request, None)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str | int]) -> Iterator[Span]:
        """Below the current one. What goes wrong in it is told by its type and in its own words."""
        started = self._tracer.start_span(name, attributes=dict(attributes))
        with trace.use_span(started, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield started
            except Exception as error:
                started.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
                raise

    @contextmanager
    def within(self, kept: str | None) -> Iterator[None]:
        """As if the span that `kept` names were the current one; None: no span is."""
        found = _read(kept)
        context = trace.set_span_in_context(NonRecordingSpan(found), _NOTHING) if found else _NOTHING
        token = contexts.attach(context)
        try:
            yield
        finally:
            contexts.detach(token)

    def link(self, kept: str) -> None:
        """From the current span to another trace's."""
        self.lead_on()
        if found := _read(kept):
            trace.get_current_span().add_link(found)

    def request(self, name: str, attributes: Mapping[str, str | int], given: str | None) -> Span:
        """The span of a request. `given`: the traceparent of a caller whom we know."""
        context, parent = _NOTHING, _read(given)
        if parent is not None:
            wanted = bool(parent.trace_flags & TraceFlags.SAMPLED)
            flags = _SAMPLED if self._sampler.decides(name, attributes, wanted=wanted) else _UNSAMPLED
            taken = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(NonRecordingSpan(taken), _NOTHING)
        started = self._tracer.start_span(name, context, SpanKind.SERVER, dict(attributes))
        self._held[started] = []
        return started

    def statement(self, parent: Span, statement: str, start_ns: int, fault: str | None = None) -> None:
        """A statement to the database that is over now; `fault`: the type of what went wrong.

        A request that leads to nothing else has ten of them, which were a twentieth of its cost: those that did
        not fail and took no time are not told.
        """
        end_ns = time.time_ns()
        told = (statement, start_ns, end_ns, fault)
        held = self._held.get(parent)
        if held is None or fault is not None or end_ns - start_ns >= LONG_NS:
            self._tell(parent, *told)
        elif len(held) < SAME_BELOW:
            held.append(told)

    def _tell(self, parent: Span, statement: str, start_ns: int, end_ns: int, fault: str | None) -> None:
        """Made whole, without the SDK's sampler, locks and checks of attributes, which were half of what it cost."""
        name, shape = shape_of(statement)
        if not has_room(parent, name):
            return
        above = parent.get_span_context()
        context = SpanContext(above.trace_id, random.getrandbits(64) or 1, False, _SAMPLED)
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=context,
                parent=above,
                resource=self._resource,
                attributes={"db.system.name": "postgresql", "db.query.text": shape},
                kind=SpanKind.CLIENT,
                status=Status(StatusCode.ERROR, fault) if fault else _UNSET,
                start_time=start_ns,
                end_time=end_ns,
                instrumentation_scope=_SCOPE,
            )
        )


_TABLE: Final = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE)\s+\"?(\w+)", re.IGNORECASE)
_CALLED: Final = re.compile(r"SELECT (\w+)\(", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'(?:[^']|'')*(?:'|$)")  # the end may be cut off
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@lru_cache(maxsize=1000)
def shape_of(statement: str) -> tuple[str, str]:
    """The name of a statement (`SELECT operations`) and its text, without any values: placeholders stay."""
    shape = _NUMBER.sub("?", _QUOTED.sub("?", " ".join(statement[: 4 * MAX_TEXT].split())))
    verb = shape.partition(" ")[0].upper()[:20]
    table = _TABLE.search(shape)
    what = table or _CALLED.match(shape)
    return f"{verb} {what[1]}" if what else verb, shape[:MAX_TEXT]


def make_provider(
    endpoint: str, resource: Mapping[str, str], timeout_s: float | None
) -> tuple[ReplaySafeTracerProvider, Tracing]:
    """The process's provider, which sends to `endpoint`; `timeout_s` None: as OpenTelemetry's own variables say."""
    roots = TracerProvider(shutdown_on_exit=False).sampler  # as OTEL_TRACES_SAMPLER says
    sampler = RequestsBegin(roots)
    whole = OneResource(Resource.create(dict(resource)))
    provider = create_tracer_provider(sampler, whole, shutdown_on_exit=False)
    processor = WorkflowsEndTheirOwn(CleanExporter(OTLPSpanExporter(endpoint, timeout=timeout_s)))
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider, Tracing(provider, sampler, processor, whole)


def _written(found: SpanContext) -> str:
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def _read(kept: str | None) -> SpanContext | None:
    if kept is None or trace_id_of(kept) is None:
        return None
    _, trace_id, span_id, flags = kept.split("-")[:4]
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & 1))


def _is_second_start(span: ReadableSpan) -> bool:
    return span.name.startswith("StartWorkflow:") and any(
        str((event.attributes or {}).get("exception.type", "")).endswith(_SECOND_START) for event in span.events
    )


def _clean(span: ReadableSpan) -> ReadableSpan:
    if not span.events and span.status.description is None:
        return span
    events = [Event(one.name, _cleaned(one.attributes), one.timestamp) for one in span.events]
    description = span.status.description and _said(span.status.description, MAX_TEXT)
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, description),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _cleaned(attributes: Attributes) -> dict[str, Any]:
    return {
        name: _said(value, MAX_TRACEBACK if name == "exception.stacktrace" else MAX_TEXT)
        if isinstance(value, str)
        else value
        for name, value in (attributes or {}).items()
    }


def _said(text: str, most: int) -> str:
    """Cleaned, then cut: of half a URL nobody sees that it has a password. The end of a traceback says what it was."""
    clean = _DETAIL.sub("", clean_text(text))
    return clean if len(clean) <= most else f"{clean[: most // 2]}...{clean[-most // 2 :]}"
