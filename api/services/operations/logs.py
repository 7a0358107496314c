"""Logs of an operation's steps: files, read in bounded pieces."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from api.http.envelope import JSON, reply
from api.schemas.builds import LogListing, LogStep
from runtime.settings import Settings

DEFAULT_LIMIT = 256 * 1024
MAX_LIMIT = 4 * 1024 * 1024
MAX_OFFSET = 2**53


class LoggedStep(StrEnum):
    """The steps that write a log, in order."""

    SOURCE = "source"
    BUILD = "build"
    TEST = "test"
    RELEASE = "release"


@dataclass(frozen=True)
class Window:
    """Which part of which logs, in bytes; no step means all of them, one after another under headings."""

    step: LoggedStep | None
    offset: int
    limit: int


async def _window(
    step: LoggedStep | None = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="bytes to skip")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="bytes to give")] = DEFAULT_LIMIT,
) -> Window:
    return Window(step, offset, limit)


# What the answers are: text, or for who accepts JSON only, which logs there are.
LOGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string", "maxLength": MAX_LIMIT}, "example": "==> build <==\n"}},
        "headers": {
            "X-Next-Offset": {
                "description": "where to go on",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET + MAX_LIMIT},
            }
        },
    }
}
LogWindow = Annotated[Window, Depends(_window)]


async def log_reply(request: Request, settings: Settings, operation_id: UUID, window: Window) -> Response:
    """The piece asked for, as text; or which logs there are, for who accepts JSON only."""
    folder = settings.data_dir / "logs" / "operations" / str(operation_id)
    if JSON in request.headers.get("accept", ""):
        return reply(request, LogListing(steps=await asyncio.to_thread(_steps, folder)))
    content = await asyncio.to_thread(_read, folder, window)
    headers = {"X-Next-Offset": str(window.offset + len(content)), "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="text/plain; charset=utf-8")


def _file(folder: Path, step: LoggedStep) -> Path:
    return folder / f"{step}.log"


def _steps(folder: Path) -> list[LogStep]:
    found = [(step, _file(folder, step)) for step in LoggedStep]
    return [LogStep(name=step, size_bytes=file.stat().st_size) for step, file in found if file.is_file()]


def _read(folder: Path, window: Window) -> bytes:
    """Bytes of one log, or of all: steps follow each other, so what was read once keeps its place."""
    if window.step is not None:
        return _piece(_file(folder, window.step), window.offset, window.limit)
    out, skip, room = b"", window.offset, window.limit
    for step in LoggedStep:
        file = _file(folder, step)
        if not file.is_file() or room <= 0:
            continue
        heading = f"==> {step} <==\n".encode()
        head = heading[skip : skip + room]
        tail = _piece(file, max(0, skip - len(heading)), room - len(head))
        skip = max(0, skip - len(heading) - file.stat().st_size)
        room -= len(head) + len(tail)
        out += head + tail
    return out


def _piece(file: Path, offset: int, limit: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(limit)
    except FileNotFoundError:
        return b""
