"""All changes by POST and PATCH: one transaction, and one stored answer per `Idempotency-Key`."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import Authenticated
from api.dependencies import AppState, State
from api.http.envelope import JSON
from api.http.errors import InvalidRequestError
from domain.errors import DependencyError
from runtime.logging import get_logger
from storage.engine import transaction
from storage.repositories.idempotency import IdempotencyRepository, KeyedRequest, StoredAnswer

log = get_logger(__name__)

REPLAYED = "Idempotent-Replayed"
MAX_KEY = 255
KEPT_HEADERS = ("location", "operation-location", "retry-after", "etag")

# Bare or quoted; an opening quote needs a closing one.
KEY = r'^([!#-~]([ -~]{0,253}[!-~])?|"[ -~]{1,255}")$'
_KEY = re.compile(KEY)
IdempotencyKey = Header(
    max_length=MAX_KEY + 2,
    description="makes repeating safe: the same key gets the first answer again, for 24 hours and more",
    json_schema_extra={"pattern": KEY},
)

Effect = Callable[[AsyncSession], Awaitable[Response]]
Before = Callable[[], Awaitable[object]]
AfterCommit = Callable[[], Awaitable[object]]


class Command:
    """A changing request. `run` it once; `fresh` is False if the answer is a replay."""

    def __init__(self, parts: AppState, keyed: KeyedRequest | None) -> None:
        self._parts = parts
        self._keyed = keyed
        self._hooks: list[AfterCommit] = []
        self.fresh = True

    @property
    def key(self) -> str | None:
        """The key for downstream calls; the same for the same caller and idempotency key."""
        return f"{self._keyed.principal}/{self._keyed.key}" if self._keyed else None

    def after_commit(self, hook: AfterCommit) -> None:
        """Register a hook to run after the commit, such as starting a workflow.

        It does not run if the transaction fails, nor for a replay. A failure of a hook is not reported: work that must
        not be lost is in the outbox, and the relay carries it out.
        """
        self._hooks.append(hook)

    async def run(self, effect: Effect, *, before: Before | None = None) -> Response:
        """Run the effect and store its answer in one transaction, then run the hooks; or replay the stored answer.

        Args:
            effect: runs in the transaction.
            before: slow work (hashing a password, asking the workflow engine): runs without holding a connection, and
                not for a replay.
        """
        if before is not None:
            if (again := await self._kept_already()) is not None:
                return again
            await before()
        async with transaction(self._parts.sessions) as session:
            keys = IdempotencyRepository(session, self._parts.sealer)
            known = await keys.claim(self._keyed) if self._keyed else None
            if known is not None:
                self.fresh = False
                return _replayed(known)
            response = await effect(session)
            if self._keyed:
                await keys.store(self._keyed, _kept(response))
        for hook in self._hooks:
            await hook()
        return response

    async def _kept_already(self) -> Response | None:
        if self._keyed is None:
            return None
        async with transaction(self._parts.sessions) as session:
            known = await IdempotencyRepository(session, self._parts.sealer).kept(self._keyed)
        if known is None:
            return None
        self.fresh = False
        return _replayed(known)

    async def amend(self, response: Response) -> Response:
        """Store a later, better answer in place of the effect's; it is returned even if storing fails."""
        if self._keyed:
            try:
                async with transaction(self._parts.sessions) as session:
                    await IdempotencyRepository(session, self._parts.sealer).store(self._keyed, _kept(response))
            except DependencyError as error:
                log.warning("answer.not_kept", reason=error.message)
        return response

    async def or_kept(self, kept: Response, better: Awaitable[Response]) -> Response:
        """The better answer, or the effect's stored answer if that is not available.

        An error would suggest that nothing was applied, but the effect was.
        """
        try:
            return await better
        except DependencyError as error:
            log.warning("answer.left_as_kept", reason=error.message)
            return kept


async def _command(
    request: Request,
    parts: State,
    principal: Authenticated,
    idempotency_key: Annotated[str | None, IdempotencyKey] = None,
) -> Command:
    if idempotency_key is None:
        return Command(parts, None)
    caller = f"{principal.organization_id}/{principal.subject}"
    return Command(parts, await _keyed(request, caller, idempotency_key))


async def _open_command(
    request: Request, parts: State, idempotency_key: Annotated[str | None, IdempotencyKey] = None
) -> Callable[[str], Awaitable[Command]]:
    async def of(caller: str) -> Command:
        keyed = None if idempotency_key is None else await _keyed(request, caller, idempotency_key)
        return Command(parts, keyed)

    return of


async def _keyed(request: Request, caller: str, given: str) -> KeyedRequest:
    if not _KEY.fullmatch(given):
        raise InvalidRequestError(
            "Idempotency-Key",
            f"must be 1 to {MAX_KEY} printable characters of ASCII, bare or in double quotes",
            code="idempotency_key_invalid",
            in_body=False,
        )
    query = f"?{request.url.query}" if request.url.query else ""
    return KeyedRequest(
        principal=caller,
        key=given[1:-1] if given[0] == '"' else given,
        organization_id=None,
        method=request.method,
        path=f"{request.url.path}{query}"[:2048],
        body=await request.body(),
    )


Idempotent = Annotated[Command, Depends(_command)]
# For unauthenticated routes: the command of a caller identified by something else unique.
IdempotentOf = Annotated[Callable[[str], Awaitable[Command]], Depends(_open_command)]


def _kept(response: Response) -> StoredAnswer:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return StoredAnswer(response.status_code, headers, bytes(response.body))


def _replayed(answer: StoredAnswer) -> Response:
    headers = {**answer.headers, REPLAYED: "true"}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=JSON)
