"""Builds one PromQL query for all figures of all releases, so that all are of the same moment."""

import re
from collections.abc import Callable, Sequence

from domain.canary.metric_source import RELEASE, PrometheusQueries

Binding = Callable[[str, str], str]
"""(query, its key) -> the query as it may be sent."""

FIGURE = "delivery_figure"
SIDE = "delivery_side"
_UNSAFE = re.compile(r"[^A-Za-z0-9_:-]")


def combined(queries: PrometheusQueries, release_ids: Sequence[str], bind: Binding) -> str:
    """One query. Each series of its answer has the labels FIGURE (which figure) and SIDE (index of the release)."""
    return " or ".join(
        labelled(template, release_id, figure, bind, side)
        for side, release_id in enumerate(release_ids)
        for figure, template in queries.given().items()
    )


def labelled(template: str, release_id: str, figure: str, bind: Binding, side: int = 0) -> str:
    """One figure of one release, with its labels."""
    asked = bind(template.replace(RELEASE, _escaped(release_id)), f"analysis.prometheus.{figure}")
    # On lines of its own, so that a comment in the template ends before the parenthesis.
    query = f"(\n{asked}\n)"
    return f'label_replace(label_replace({query}, "{FIGURE}", "{figure}", "", ""), "{SIDE}", "{side}", "", "")'


def _escaped(text: str) -> str:
    """Escaped for a PromQL string with any kind of quotes: no character can end the string."""
    return _UNSAFE.sub(lambda found: f"\\U{ord(found[0]):08x}", text)
