"""Logs are events, not sentences: `log.info("rollout.step.advanced", deployment_id=..., weight=25)`."""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

import structlog

from runtime import tracing

REDACTED = "[redacted]"
_SECRET = re.compile(r"passw(or)?d|token|secret|authorization|database_url|api_?key|private_key|cookie", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]+@")
_MAX_DEPTH = 6


def setup_logging(level: str = "INFO", *, service: str, path: Path | None = None) -> None:
    """Route structlog and the standard library to stderr: readable on a terminal, else one JSON object a line.

    Args:
        level: a name of the standard library's levels.
        service: which process speaks, on every line.
        path: a file to write to instead.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
        _traced,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    terminal = path is None and sys.stderr.isatty()
    stream = path.open("a", encoding="utf-8") if path else sys.stderr
    handler = logging.StreamHandler(stream) if terminal else JsonLines(stream, service)
    handler.setFormatter(_formatter(shared, terminal=terminal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "httpx", "httpcore"):  # an INFO line for every probe
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("authlib").setLevel(logging.WARNING)  # it logs whole tokens at DEBUG


class JsonLines(logging.StreamHandler[TextIO]):
    """Where lines of JSON go; `write` takes one that is ready (see `runtime.log_lines`)."""

    def __init__(self, stream: TextIO, service: str) -> None:
        super().__init__(stream)
        self.service = service

    def write(self, line: str) -> None:
        """Write a line, at once. As with every handler, errors here must not disturb the caller."""
        # The disk is full, the reader is gone, or it is closed already.
        with self.lock or nullcontext(), suppress(OSError, ValueError):
            self.stream.write(line + self.terminator)
            self.stream.flush()


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of secret-looking keys, at any depth, and passwords inside URLs."""
    return {key: _clean(key, value, _MAX_DEPTH) for key, value in event.items()}


def clean_text(text: str) -> str:
    """A text without the passwords in its URLs."""
    return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text) if "://" in text else text


def _clean(key: object, value: Any, depth: int) -> Any:
    if isinstance(key, str) and _SECRET.search(key):
        return REDACTED
    if isinstance(value, str):
        return clean_text(value)
    if depth and isinstance(value, dict):
        return {inner: _clean(inner, item, depth - 1) for inner, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_clean(None, item, depth - 1) for item in value]
    return value


def _named(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return add


def _traced(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The trace that a line belongs to, where there is one."""
    if "trace_id" not in event and (found := tracing.trace_id()) is not None:
        event["trace_id"] = found
    return event


def _formatter(shared: list[structlog.typing.Processor], *, terminal: bool) -> logging.Formatter:
    render: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if terminal:
        render.append(structlog.dev.ConsoleRenderer())
    else:
        # a traceback may quote anything: rendered first, then redacted again
        render += [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render)
