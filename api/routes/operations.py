"""Operations: get (and wait), list, cancel, follow, logs."""

import json
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import OperationsCancel, OperationsRead
from api.auth.principal import Principal
from api.auth.readers import Reader
from api.dependencies import AppState, State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import accepted_headers
from api.http.pagination import WantedPage
from api.http.streaming import EventStream, unless_gone, while_allowed
from api.routes.decided import ACCEPTED, settled
from api.routes.log_streams import Following
from api.routes.operation_logs import LOGGED, LogWindow, followed_steps, log_reply
from api.schemas.builds import LogListing
from api.schemas.operations import CancelRequest, OperationView
from api.schemas.views import operation_answer, operation_view, workflow_link
from api.services.deployments.actions import Decision
from api.services.deployments.rollback import invalid_state
from api.services.logs.steps import StepsPlace
from api.services.operations.progress import Snapshot, stored_snapshot
from contracts.payload import bounded
from domain.approvals import Action
from domain.errors import DeliveryError
from domain.lifecycle import FINISHED_OPERATIONS, EnvironmentName, OperationKind, OperationStatus
from domain.permissions import Scope
from runtime.meter import request_waits
from storage.engine import transaction
from storage.models import Operation
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.operations import OperationRepository

router = APIRouter(tags=["Operations"])

MAX_WAIT_S = 60
# The permissions that `OperationsRead` requires.
GRANTED_TO_READ = (Scope.OPERATIONS_READ, Scope.DEPLOYMENTS_READ)
FOLLOW_LIMIT_S = 900.0
RECONNECT_MS = 2000
# Each event, described as OpenAPI before 3.2 describes a stream.
FOLLOWED: dict[str, Any] = {
    "content": {
        "text/event-stream": {
            "schema": {
                "title": "OperationEvent",
                "type": "object",
                "required": ["id", "event", "data"],
                "properties": {
                    "id": {"type": "string", "pattern": "^[0-9]+$", "maxLength": 20},
                    "event": {"title": "OperationEventType", "type": "string", "enum": ["progress", "closed"]},
                    "data": {"type": "string", "description": "the operation, as JSON", "maxLength": 1_000_000},
                },
            },
            "example": {"id": "7", "event": "progress", "data": "{...}"},
        }
    }
}
_PREFERENCE = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})")


@router.get("/operations", summary="List operations", response_model=PageEnvelope[OperationView])
async def list_operations(
    *,
    request: Request,
    parts: State,
    principal: OperationsRead,
    page: WantedPage,
    status: OperationStatus | None = None,
    project_id: UUID | None = None,
    environment: EnvironmentName | None = None,
    kind: OperationKind | None = None,
) -> Response:
    """Newest first, as recorded. Get a running operation by its id for its live progress."""
    async with transaction(parts.sessions) as session:
        found = await OperationRepository(session, principal.tenant).search(
            status=status, project_id=project_id, environment=environment, kind=kind, request=page
        )
    return reply_page(request, found, [_view(parts, principal, stored_snapshot(row)) for row in found.rows])


@router.get("/operations/{operation_id}", summary="Get an operation", response_model=Envelope[OperationView])
async def get_operation(
    *,
    request: Request,
    parts: State,
    principal: OperationsRead,
    operation_id: UUID,
    wait: Annotated[int | None, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait for a change")] = None,
    prefer: Annotated[str | None, Header(max_length=200, description="wait=30: the same (RFC 7240)")] = None,
) -> Response:
    """With `wait`, answers as soon as something changes, or at once if the operation has finished."""
    snapshot = await parts.watch.now(operation_id, principal.tenant)
    preferred = _PREFERENCE.search(prefer) if prefer and wait is None else None
    seconds = min(int(preferred[1]), MAX_WAIT_S) if preferred else wait or 0
    if seconds:
        request_waits()
        with parts.places.waits.held(principal):
            changed = _reader(request, parts, principal).while_allowed(parts.watch.until_changed(snapshot, seconds))
            snapshot = await unless_gone(request, changed) or snapshot
    headers = {"Preference-Applied": f"wait={seconds}"} if preferred else {}
    return reply(
        request, operation_answer(snapshot, workflow_link(parts.settings, principal, snapshot.row)), headers=headers
    )


@router.post(
    "/operations/{operation_id}/cancel",
    summary="Cancel an operation",
    status_code=202,
    response_model=Envelope[OperationView],
)
async def cancel_operation(
    *,
    request: Request,
    parts: State,
    principal: OperationsCancel,
    command: Idempotent,
    operation_id: UUID,
    body: CancelRequest | None = None,
) -> Response:
    """Before any traffic has moved, the operation ends as cancelled. After that, traffic returns first."""
    reason = bounded((body.reason if body else None) or "cancelled through the API")
    kept: list[Decision] = []

    async def cancel(session: AsyncSession) -> Response:
        operations = OperationRepository(session, principal.tenant)
        row = await operations.get(operation_id)
        if row.status in FINISHED_OPERATIONS:
            raise invalid_state(f"the operation is {row.status}; there is nothing left to cancel", row.status)
        if row.cancel_requested_at is None:
            deployment = await DeploymentRepository(session, principal.tenant).get(row.resource_id)
            abort = Decision(parts, principal, deployment.id, Action.ABORT, reason, command.key, "cancel")
            await abort.keep_about(session, deployment, row, operation_id=str(row.id))
            await operations.request_cancel(operation_id)
            kept.append(abort)
        return await answer(session)

    async def answer(session: AsyncSession) -> Response:
        row = await OperationRepository(session, principal.tenant).get(operation_id)
        await session.refresh(row)
        headers = accepted_headers(parts.settings, row.id, row.resource_id)
        return reply(request, _view(parts, principal, await parts.progress.of(row)), status=202, headers=headers)

    async def outcome(response: Response) -> Response:
        for abort in kept:
            response = await settled(request, command, abort, response) or response
        parts.watch.forget(operation_id)
        if not kept or response.status_code != ACCEPTED:
            return response
        async with transaction(parts.sessions) as session:
            return await command.amend(await answer(session))

    response = await command.run(cancel)
    return await command.or_kept(response, outcome(response))


@router.get(
    "/operations/{operation_id}/events",
    summary="Follow an operation (server-sent events)",
    response_class=EventStream,
    responses={200: FOLLOWED, 204: {"description": "Last-Event-ID names the final event: there is nothing to come"}},
)
async def follow_operation(
    request: Request,
    parts: State,
    principal: OperationsRead,
    operation_id: UUID,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """One event per change, whose id is the operation's version. The stream ends with the operation.

    A client that loses its permission gets a last event `closed`, whose data is `{"code": ..., "message": ...}`.
    """
    snapshot = await parts.watch.now(operation_id, principal.tenant)
    known = int(last_event_id) if last_event_id and last_event_id.isdecimal() else -1
    if snapshot.done and known >= snapshot.progress.version:
        # EventSource reconnects after every end of a stream; 204 stops it.
        return Response(status_code=204)
    held = parts.places.streams.take(principal)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = while_allowed(
        _events(parts, principal, snapshot, known), _reader(request, parts, principal).fault, _closed
    )
    return EventStream(events, headers=headers).held_by(held)


@router.get(
    "/operations/{operation_id}/logs",
    summary="Read an operation's logs",
    response_model=Envelope[LogListing],
    responses=LOGGED,
)
async def get_operation_logs(
    *,
    request: Request,
    parts: State,
    principal: OperationsRead,
    operation_id: UUID,
    window: LogWindow,
    follow: Following,
) -> Response:
    """Works like a build's logs, and is available from the start. When followed, the stream ends with the operation."""
    row = await _row(parts, principal, operation_id)
    if follow.wanted:
        place = StepsPlace(operation_id, None, window.step)
        return await followed_steps(request, parts, principal, follow, place, *GRANTED_TO_READ)
    return await log_reply(request, parts, operation_id, row.project_id, window)


async def _row(parts: AppState, principal: Principal, operation_id: UUID) -> Operation:
    async with transaction(parts.sessions) as session:
        return await OperationRepository(session, principal.tenant).get(operation_id)


def _view(parts: AppState, principal: Principal, snapshot: Snapshot) -> OperationView:
    return operation_view(snapshot, workflow_link(parts.settings, principal, snapshot.row))


def _reader(request: Request, parts: AppState, principal: Principal) -> Reader:
    return Reader(request, parts, principal, *GRANTED_TO_READ)


def _closed(fault: DeliveryError) -> str:
    return f"event: closed\ndata: {json.dumps({'code': fault.code, 'message': fault.message})}\n\n"


async def _events(
    parts: AppState, principal: Principal, first: Snapshot, known_version: int
) -> AsyncGenerator[str, None]:
    yield f"retry: {RECONNECT_MS}\n\n"
    async for change in parts.watch.changes(first, known_version=known_version, limit_s=FOLLOW_LIMIT_S):
        if change is None:
            yield ": nothing new\n\n"
            continue
        view = _view(parts, principal, change)
        yield f"id: {view.version}\nevent: progress\ndata: {view.model_dump_json()}\n\n"
