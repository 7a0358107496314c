"""Where telemetry goes: `DELIVERY_OTLP_ENDPOINT`, or the variables that OpenTelemetry has for every program.

`OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT`, `_CERTIFICATE`, `_COMPRESSION` and `OTEL_BSP_*` are read by its own exporter
and batches; here stands what decides whether there is any, and what would be refused. Values of headers are never told.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from runtime.settings import Settings

TRACES_PATH, METRICS_PATH = "/v1/traces", "/v1/metrics"
_BASE: Final = "OTEL_EXPORTER_OTLP"
_HEADERS: Final = (f"{_BASE}_HEADERS", f"{_BASE}_TRACES_HEADERS", f"{_BASE}_METRICS_HEADERS")
_ENDPOINTS: Final = (f"{_BASE}_ENDPOINT", f"{_BASE}_TRACES_ENDPOINT", f"{_BASE}_METRICS_ENDPOINT")
_PROTOCOLS: Final = (f"{_BASE}_PROTOCOL", f"{_BASE}_TRACES_PROTOCOL", f"{_BASE}_METRICS_PROTOCOL")
_SECONDS: Final = (f"{_BASE}_TIMEOUT", f"{_BASE}_TRACES_TIMEOUT", f"{_BASE}_METRICS_TIMEOUT")
_COUNTS: Final = tuple(
    f"OTEL_BSP_{name}" for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT")
)
_LIMITS: Final = tuple(
    f"OTEL_{name}_LIMIT"
    for name in (
        "ATTRIBUTE_COUNT",
        "ATTRIBUTE_VALUE_LENGTH",
        "SPAN_ATTRIBUTE_COUNT",
        "SPAN_ATTRIBUTE_VALUE_LENGTH",
        "SPAN_EVENT_COUNT",
        "SPAN_LINK_COUNT",
        "EVENT_ATTRIBUTE_COUNT",
        "LINK_ATTRIBUTE_COUNT",
    )
)
_PACKINGS: Final = (f"{_BASE}_COMPRESSION", f"{_BASE}_TRACES_COMPRESSION", f"{_BASE}_METRICS_COMPRESSION")
_FILES: Final = tuple(
    f"{_BASE}_{kind}{name}"
    for kind in ("", "TRACES_", "METRICS_")
    for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)
# Where the SDK does not know one it records everything.
_SAMPLERS: Final = frozenset(
    f"{follows}{what}" for follows in ("", "parentbased_") for what in ("always_on", "always_off", "traceidratio")
)
_HEADER: Final = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[^\r\n]*")
_SPEAKS: Final = "http/protobuf"


@dataclass(frozen=True)
class Collector:
    """Addresses with their paths; empty: nothing of that kind is sent. `is_named`: the service's name is given too."""

    traces: str = ""
    metrics: str = ""
    is_named: bool = False
    has_timeout: bool = False


def collector_of(settings: Settings, environment: Mapping[str, str] | None = None) -> Collector:
    """What this process shall send, and where. `OTEL_SDK_DISABLED=true` turns all of it off.

    `DELIVERY_OTLP_ENDPOINT` goes first: the collector's address for traces; metrics go to the same one.
    """
    given = os.environ if environment is None else environment
    if given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Collector()
    own = settings.otlp_endpoint
    if own:
        metrics = own.removesuffix(TRACES_PATH) + METRICS_PATH if own.endswith(TRACES_PATH) else ""
    else:
        metrics = _address(given, "METRICS", METRICS_PATH)
    return Collector(
        traces="" if _is_off(given, "TRACES") else own or _address(given, "TRACES", TRACES_PATH),
        metrics="" if _is_off(given, "METRICS") else metrics,
        is_named=bool(given.get("OTEL_SERVICE_NAME")) or "service.name=" in given.get("OTEL_RESOURCE_ATTRIBUTES", ""),
        has_timeout=any(given.get(name) for name in _SECONDS),
    )


def otlp_faults(settings: Settings, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """What is wrong with these settings, with what to do; nothing where nothing is sent."""
    given = os.environ if environment is None else environment
    collector = collector_of(settings, given)
    if not collector.traces and not collector.metrics:
        return
    told = {**given, "DELIVERY_OTLP_ENDPOINT": settings.otlp_endpoint}
    for names, is_good, mend in _RULES:
        yield from (f"{name}: {mend}" for name in names if told.get(name) and not is_good(told[name]))
    yield from _batches(given)


def _batches(given: Mapping[str, str]) -> Iterator[str]:
    size, queue = (given.get(f"OTEL_BSP_{name}", "") for name in ("MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE"))
    if int(size if size.isdecimal() else 512) > int(queue if queue.isdecimal() else 2048):
        yield "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: a batch is larger than the queue (OTEL_BSP_MAX_QUEUE_SIZE)"


def _address(given: Mapping[str, str], kind: str, path: str) -> str:
    if own := given.get(f"{_BASE}_{kind}_ENDPOINT", ""):
        return own
    base = given.get(f"{_BASE}_ENDPOINT", "")
    return base.removesuffix("/") + path if base else ""


def _is_off(given: Mapping[str, str], kind: str) -> bool:
    return given.get(f"OTEL_{kind}_EXPORTER", "").strip().lower() == "none"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _are_headers(text: str) -> bool:
    return all(_HEADER.fullmatch(one) for one in text.split(",") if one.strip())


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _is_limit(text: str) -> bool:
    return text.strip().isdecimal() or text.strip().lower() == "unset"


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


_RULES: Final[Sequence[tuple[Sequence[str], Callable[[str], bool], str]]] = (
    (
        ("DELIVERY_OTLP_ENDPOINT", *_ENDPOINTS),
        _is_address,
        "is no address; write it with its scheme, such as http://127.0.0.1:4318",
    ),
    (_PROTOCOLS, _SPEAKS.__eq__, f"only {_SPEAKS} is spoken (usually port 4318); leave it out, or set it to that"),
    (_HEADERS, _are_headers, "write name=value, commas between"),
    (_SECONDS, _is_positive, "is no number of seconds above 0"),
    (_COUNTS, _is_count, "is no whole number above 0"),
    (_LIMITS, _is_limit, "is no whole number"),
    (_PACKINGS, lambda text: text.strip().lower() in {"gzip", "deflate", "none"}, "is not gzip, deflate or none"),
    (_FILES, lambda text: os.access(text, os.R_OK), "is no file that can be read"),
    (
        ("OTEL_TRACES_SAMPLER",),
        lambda text: text.strip().lower() in _SAMPLERS,
        f"is none of {', '.join(sorted(_SAMPLERS))}",
    ),
    (("OTEL_TRACES_SAMPLER_ARG",), _is_share, "is no number from 0 to 1"),
)
