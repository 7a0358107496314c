"""Logs of an operation's steps: files, read in bounded pieces."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from api.schemas.builds import LogStep
from domain.masking import Masker
from runtime.settings import Settings

DEFAULT_LIMIT = 256 * 1024
MAX_LIMIT = 4 * 1024 * 1024
MAX_OFFSET = 2**53


class LoggedStep(StrEnum):
    """The steps that write a log, in order."""

    SOURCE = "source"
    BUILD = "build"
    TEST = "test"
    SCAN = "scan"
    RELEASE = "release"


@dataclass(frozen=True)
class LogRange:
    """Which part of which logs, in bytes; no step means all of them, one after another under headings."""

    step: LoggedStep | None
    offset: int
    limit: int


async def listed(settings: Settings, operation_id: UUID) -> list[LogStep]:
    """Which logs there are."""
    return await asyncio.to_thread(_steps, folder_of(settings, operation_id))


async def read(settings: Settings, operation_id: UUID, window: LogRange, masker: Masker) -> bytes:
    """The piece asked for. A value that must not be shown has a star for each byte, so that offsets stay right."""
    return await asyncio.to_thread(_read, folder_of(settings, operation_id), window, masker)


def folder_of(settings: Settings, operation_id: UUID) -> Path:
    """Where the logs of an operation are."""
    return settings.data_dir / "logs" / "operations" / str(operation_id)


def file_of(folder: Path, step: LoggedStep) -> Path:
    """The log of a step."""
    return folder / f"{step}.log"


def _steps(folder: Path) -> list[LogStep]:
    found = [(step, file_of(folder, step)) for step in LoggedStep]
    return [LogStep(name=step, size_bytes=file.stat().st_size) for step, file in found if file.is_file()]


def _read(folder: Path, window: LogRange, masker: Masker) -> bytes:
    """Bytes of one log, or of all: steps follow each other, so what was read once keeps its place."""
    if window.step is not None:
        return _piece(file_of(folder, window.step), window.offset, window.limit, masker)
    out, skip, room = b"", window.offset, window.limit
    for step in LoggedStep:
        file = file_of(folder, step)
        if not file.is_file() or room <= 0:
            continue
        heading = f"==> {step} <==\n".encode()
        head = heading[skip : skip + room]
        tail = _piece(file, max(0, skip - len(heading)), room - len(head), masker)
        skip = max(0, skip - len(heading) - file.stat().st_size)
        room -= len(head) + len(tail)
        out += head + tail
    return out


def _piece(file: Path, offset: int, limit: int, masker: Masker) -> bytes:
    """Read with as much around it as a value in its cuts may be long."""
    before = min(offset, masker.longest + 1)
    try:
        with file.open("rb") as stream:
            stream.seek(offset - before)
            data = stream.read(before + limit + masker.longest + 1)
    except FileNotFoundError:
        return b""
    return masker.hidden(data)[before : before + limit]
