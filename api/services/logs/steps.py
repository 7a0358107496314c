"""The logs of an operation's steps, followed while they are written."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from api.services.logs.follow import PIECE, Pieces, Told, told
from api.services.logs.masks import Masks
from api.services.operations.logs import LoggedStep, LogRange, file_of, folder_of, read
from api.services.operations.watch import Watch
from domain.lifecycle import FINISHED_BUILDS
from domain.log_lines import take_lines, wanted_bytes
from domain.masking import Masker
from runtime.log_files import read_plain
from runtime.settings import Settings
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.models import Build
from storage.repositories.builds import BuildRepository
from storage.tenancy import PLATFORM

# One place in each step's log: a step that is tried again writes on in its own.
_MARK = re.compile(r"\d{1,16}(\.\d{1,16}){4}")
BEGINNING = ".".join("0" for _ in LoggedStep)
LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class StepsPlace:
    """`build_id`: the log ends with this build, None: with its operation. `step`: of this step alone."""

    operation_id: UUID
    build_id: UUID | None
    step: LoggedStep | None
    mark: str = BEGINNING


class StepLogs:
    """Follows logs of operations, for whoever may read them: that was checked before."""

    def __init__(self, *, settings: Settings, sessions: Sessions, watch: Watch, masks: Masks) -> None:
        self._settings = settings
        self._sessions = sessions
        self._watch = watch
        self._masks = masks
        self._pieces: Pieces[StepsPlace] = Pieces(self._read)
        self._builds: SharedAnswers[UUID, Build] = SharedAnswers(self._build, keep_s=LOOK_EVERY_S)

    async def at(self, place: StepsPlace) -> Told:
        """What is told at a place."""
        return await self._pieces.at(place)

    async def read(self, operation_id: UUID, project_id: UUID, window: LogRange) -> bytes:
        """Some bytes.

        Raises:
            DependencyError: secrets cannot be opened, so that nothing can be shown.
        """
        return await read(self._settings, operation_id, window, await self._masks.of(project_id))

    async def _read(self, place: StepsPlace) -> Told:
        snapshot = await self._watch.now(place.operation_id, PLATFORM)
        # Asked before the files are read: what was written until then is there.
        status = await self._ended(place, snapshot.progress.status if snapshot.done else None)
        masker = await self._masks.of(snapshot.row.project_id)
        folder = folder_of(self._settings, place.operation_id)
        lines, mark = await asyncio.to_thread(_lines, folder, place, masker, final=status is not None)
        return told(lines=lines, mark=mark, before=place.mark, end=None if status is None else {"status": status})

    async def _ended(self, place: StepsPlace, of_operation: str | None) -> str | None:
        """How what writes the log ended; None: it goes on."""
        if place.build_id is None:
            return of_operation
        build = await self._builds.get(place.build_id)
        return build.status if build.status in FINISHED_BUILDS else None

    async def _build(self, build_id: UUID) -> Build:
        async with transaction(self._sessions) as session:
            return await BuildRepository(session, PLATFORM).get(build_id)


def mark_of(last_event_id: str | None) -> str:
    """The place that a client names; the beginning when it names none."""
    return last_event_id if last_event_id and _MARK.fullmatch(last_event_id) else BEGINNING


def _lines(folder: Path, place: StepsPlace, masker: Masker, *, final: bool) -> tuple[list[dict[str, Any]], str]:
    """Lines of one piece, and the place behind it."""
    places, lines, room = [int(each) for each in place.mark.split(".")], list[dict[str, Any]](), PIECE
    for index, step in enumerate(LoggedStep):
        if room <= 0 or place.step not in (None, step):
            continue
        raw = read_plain(file_of(folder, step), places[index], wanted_bytes(room, masker))
        piece = take_lines(raw.data, raw.at, masker=masker, most=room, within=raw.within, final=final and raw.is_last)
        lines += [{"step": step, "text": line.text} for line in piece.lines]
        room -= piece.end - places[index]
        places[index] = piece.end
    return lines, ".".join(map(str, places))
