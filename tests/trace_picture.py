"""The picture of a delivery's trace in `docs/images/trace.svg`: `python -m tests.trace_picture`.

Starts a stack of its own with a collector, delivers, and draws the spans that arrived. Left out: the workflow's orders
of activities (`StartActivity`, which take no time), the reports of progress, and statements below activities.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from drivers.folders import remove_tree
from tests.support.otlp import Told, Trace, collector, traces_of
from tests.support.platform import Platform
from tests.support.services import until

IMAGE = Path(__file__).resolve().parent.parent / "docs" / "images" / "trace.svg"
ROW, NAMES, BARS, TOP = 17, 400, 620, 46
COLOURS = (
    (("POST ", "GET "), "#1f6feb"),
    (("outbox.",), "#9a6700"),
    (("RunWorkflow", "StartWorkflow", "SignalWith", "HandleSignal"), "#8250df"),
    (("RunActivity",), "#2da44e"),
    (("",), "#1b7c83"),
)
STATEMENT = "#8c959f"
END = "RunWorkflow:BuildAndDeploy"


def rows(trace: Trace, span: Told, depth: int = 0) -> Iterator[tuple[int, Told]]:
    """The spans to draw, parents before their children, with their depths."""
    is_shown = not span.name.startswith("StartActivity") and "record_progress" not in span.name
    if is_shown:
        yield depth, span
    is_activity = span.name.startswith("RunActivity")
    for each in trace.below(span):
        if not (is_activity or depth > 4) or not _is_statement(each):
            yield from rows(trace, each, depth + is_shown)


def drawn(trace: Trace) -> str:
    """The waterfall, as SVG."""
    (root,) = trace.roots
    shown = list(rows(trace, root))
    begin, whole = root.start, max(span.end for span in trace.spans) - root.start
    height = TOP + ROW * len(shown) + 10
    size = f'width="{NAMES + BARS + 90}" height="{height}"'
    title = f"Trace {root.trace_id}: {whole / 1e9:.1f} s, {len(trace.spans)} spans, {len(shown)} shown"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="8" y="18" font-size="14">{title}</text>',
    ]
    for tick in range(5):
        x = NAMES + BARS * tick / 4
        lines.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 10}" y2="{height - 6}" stroke="#d0d7de"/>')
        lines.append(f'<text x="{x:.0f}" y="{TOP - 14}" fill="#57606a">{whole * tick / 4e9:.1f} s</text>')
    for number, (depth, span) in enumerate(shown):
        lines.extend(_row(TOP + ROW * number, depth, span, (span.start - begin) / whole, (span.end - begin) / whole))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row(y: int, depth: int, span: Told, start: float, end: float) -> Iterator[str]:
    colour = next(colour for names, colour in COLOURS if span.name.startswith(names))
    colour = STATEMENT if _is_statement(span) else colour
    x, width = NAMES + BARS * start, max(1.5, BARS * (end - start))
    yield f'<text x="{8 + 12 * depth}" y="{y + 10}">{escape(span.name)}</text>'
    yield f'<rect x="{x:.1f}" y="{y + 1}" width="{width:.1f}" height="{ROW - 6}" rx="2" fill="{colour}"/>'
    yield f'<text x="{x + width + 4:.1f}" y="{y + 10}" fill="#57606a">{(span.end - span.start) / 1e6:.0f} ms</text>'


def _is_statement(span: Told) -> bool:
    return "db.query.text" in span.attributes


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="de-trace-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    return folder


async def main() -> int:
    """Deliver, collect, draw."""
    folder = _folder()
    try:
        async with collector() as receiver:
            environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url("")}
            running = await asyncio.to_thread(Platform, folder / "data", folder / "repositories", environment)
            try:
                shipped = await asyncio.to_thread(lambda: running.app("shop").ship_good())
                trace_id = shipped.operation["trace_id"]
                there = lambda: END in getattr(traces_of(receiver.received).get(trace_id), "names", ())  # noqa: E731 - said once
                await asyncio.to_thread(until, there, "the trace", 120)
            finally:
                await asyncio.to_thread(running.close)
            IMAGE.write_text(drawn(traces_of(receiver.received)[trace_id]))
    finally:
        remove_tree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
