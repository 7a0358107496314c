"""Traces of this process, sent to a collector of a test. OpenTelemetry has one provider a process: it is put back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry import trace
from opentelemetry.util._once import Once
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider

from runtime import tracing
from runtime.otlp import Collector
from runtime.telemetry import setup_traces
from runtime.traced_statements import traced_statements
from tests.support.otlp import TRACES, Told, collector, spans_of
from tests.support.receiver import Receiver


class Traced:
    """What this process has told the collector."""

    def __init__(self, receiver: Receiver, provider: ReplaySafeTracerProvider) -> None:
        self.receiver = receiver
        self._provider = provider

    async def spans(self) -> list[Told]:
        """All that has ended by now."""
        await asyncio.to_thread(self._provider.force_flush)
        return list(spans_of(self.receiver.received))


@asynccontextmanager
async def traced_here(service: str = "test") -> AsyncIterator[Traced]:
    """`async with traced_here() as told:`, with all statements to the database."""
    async with collector() as receiver:
        forget_provider()
        provider = setup_traces(Collector(traces=receiver.url(TRACES)), service=service)
        assert provider is not None
        made = tracing.active()
        assert made is not None
        try:
            with traced_statements(made):
                yield Traced(receiver, provider)
        finally:
            tracing.activate(None)
            await asyncio.to_thread(provider.shutdown)
            forget_provider()


def forget_provider() -> None:
    trace._TRACER_PROVIDER = None
    trace._TRACER_PROVIDER_SET_ONCE = Once()
