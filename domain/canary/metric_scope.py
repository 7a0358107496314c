"""The scope of a tenant's queries in the operator's Prometheus: labels that every query is bound to.

The operator writes a template such as `{organization_id="{{organization_id}}", project="{{project}}"}`; an analysis
fills in the values of its deployment.
"""

import re
from dataclasses import dataclass
from typing import Self

_IDS = frozenset({"organization_id", "project_id", "environment_id"})
# Characters that no slug contains: with them a value can be split in only one way.
_SEPARATED = re.compile(r"[^a-z0-9-]")
_TENANT = ("organization", "organization_id", "project_id", "environment_id")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*)"\s*')
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_WHOLE = re.compile(r"\s*\{(.*)\}\s*", re.DOTALL)


@dataclass(frozen=True)
class MetricsPlace:
    """The tenant, project and environment of an analysis. Names are slugs, unique within their owner."""

    organization: str
    organization_id: str
    project: str
    project_id: str
    environment: str
    environment_id: str

    @classmethod
    def placeholders(cls) -> tuple[str, ...]:
        """The names that a template may use."""
        return tuple(cls.__dataclass_fields__)


@dataclass(frozen=True)
class MetricsScope:
    """The parsed template: labels and values with placeholders."""

    labels: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` with the correct form."""
        inner = _WHOLE.fullmatch(text)
        labels = tuple(map(_label, _split(inner[1]))) if inner else ()
        if not labels:
            msg = 'must be label="value" pairs in braces, such as {organization_id="{{organization_id}}"}'
            raise ValueError(msg)
        names = [name for name, _ in labels]
        if len(set(names)) < len(names) or "__name__" in names:
            msg = "must name each label once, and not __name__"
            raise ValueError(msg)
        used = {name for _, value in labels for name in _PLACEHOLDER.findall(value)}
        unknown = sorted(used - set(MetricsPlace.placeholders()))
        if unknown:
            msg = f"knows no {{{{{unknown[0]}}}}}; there are {', '.join(MetricsPlace.placeholders())}"
            raise ValueError(msg)
        if not used & set(_TENANT):
            msg = f"must tell organizations apart: one label has to hold one of {', '.join(_TENANT)} in double braces"
            raise ValueError(msg)
        if not any(_tells_apart(value) for _, value in labels):
            msg = (
                "must tell organizations apart: slugs have hyphens, so acme + x-shop and acme-x + shop are one; "
                "give {{organization}} a label of its own, put / or _ between, or use {{organization_id}}"
            )
            raise ValueError(msg)
        return cls(labels)

    def of(self, place: MetricsPlace) -> tuple[tuple[str, str], ...]:
        """The labels and values of one deployment."""
        return tuple(
            (name, _PLACEHOLDER.sub(lambda found: str(getattr(place, found[1])), value)) for name, value in self.labels
        )


def _tells_apart(value: str) -> bool:
    """Whether no two organizations can produce the same value, whatever their slugs."""
    names = _PLACEHOLDER.findall(value)
    if _IDS & set(names):
        return True
    between = _PLACEHOLDER.split(value)[2:-1:2]  # split alternates text and name
    return "organization" in names and all(_SEPARATED.search(text) for text in between)


def _split(inner: str) -> list[str]:
    """Split at the commas between pairs; values never contain commas."""
    parts = re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', inner)
    return [part for part in parts if part.strip()]


def _label(pair: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(pair)
    if found is None:
        msg = f'{pair.strip()[:80]!r} is no label="value"; only = is known, without backslashes'
        raise ValueError(msg)
    rest = _PLACEHOLDER.sub("", found[2])
    if "{" in rest or "}" in rest or not found[2]:
        msg = f"the value of {found[1]} must be text with placeholders such as {{{{organization_id}}}}"
        raise ValueError(msg)
    return found[1], found[2]
