"""A line chart with two logarithmic axes as SVG, without a plotting library."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 820, 480, 80, 50, 60, 230


class Line(NamedTuple):
    """Points (x, y) and their style."""

    points: Sequence[tuple[float, float]]
    colour: str
    dashes: str = ""


class _Axes(NamedTuple):
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = math.log(x / self.x[0]) / math.log(self.x[1] / self.x[0])
        up = math.log(y / self.y[0]) / math.log(self.y[1] / self.y[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def chart(title: str, labels: tuple[str, str], ticks: Sequence[float], lines: Mapping[str, Line]) -> str:
    """The SVG text; `ticks` of the x axis, whole powers of ten on the other."""
    heights = [y for line in lines.values() for _, y in line.points]
    low, high = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)))
    axes = _Axes((min(ticks) * 0.9, max(ticks) * 1.1), (10.0**low, 10.0**high))
    parts = [_text(_WIDTH / 2 - 60, 25, title, 16), _text((_WIDTH - _RIGHT) / 2, _HEIGHT - 12, labels[0])]
    parts.append(_text(10, _TOP - 12, labels[1], anchor="start"))
    for x in ticks:
        parts += _grid(axes.place(x, axes.y[0]), axes.place(x, axes.y[1]), f"+{x:g}", below=True)
    for power in range(low, high + 1):
        start, end = axes.place(axes.x[0], 10.0**power), axes.place(axes.x[1], 10.0**power)
        parts += _grid(start, end, f"{10**power:,}", below=False)
    for row, (name, line) in enumerate(lines.items()):
        parts += _drawn(axes, line, name, _TOP + 20 + 24 * row)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _drawn(axes: _Axes, line: Line, name: str, key: float) -> list[str]:
    places = [axes.place(*point) for point in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    stroke = f'stroke="{line.colour}" stroke-width="2" stroke-dasharray="{line.dashes}"'
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{line.colour}"/>' for x, y in places]
    left = _WIDTH - _RIGHT + 20
    legend = f'<line x1="{left}" y1="{key}" x2="{left + 30}" y2="{key}" {stroke}/>'
    return [
        f'<polyline fill="none" points="{path}" {stroke}/>',
        *dots,
        legend,
        _text(left + 38, key + 4, name, anchor="start"),
    ]


def _grid(start: tuple[float, float], end: tuple[float, float], label: str, *, below: bool) -> list[str]:
    line = f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="#ddd"/>'
    if below:
        return [line, _text(start[0], start[1] + 20, label)]
    return [line, _text(start[0] - 8, start[1] + 4, label, anchor="end")]


def _text(x: float, y: float, words: str, size: int = 13, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{words}</text>'
