"""API keys of an organization: create, list, get, rename, rotate, revoke."""

from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import ApiKeysRead, ApiKeysWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import WantedPage
from api.http.preconditions import Precondition
from api.schemas.api_keys import ApiKeyCreate, ApiKeyPatch, ApiKeyRotation, ApiKeyView, IssuedApiKeyView
from api.services import api_keys, audited_writes
from domain.api_keys import KeyStatus
from runtime.ids import now
from storage.engine import transaction
from storage.models import ApiKey
from storage.repositories.api_keys import ApiKeyRepository, notify
from storage.repositories.organizations import OrganizationRepository
from storage.tenancy import Tenant

router = APIRouter(tags=["API keys"], prefix="/organizations/{org_id}/api-keys")


async def _key(session: AsyncSession, org_id: UUID, key_id: UUID, *, lock: bool = False) -> ApiKey:
    """A key of this organization. Keys of other organizations are not found, whoever the caller is."""
    return await ApiKeyRepository(session, Tenant(org_id)).get(key_id, lock=lock)


@router.post("", summary="Create an API key", status_code=201, response_model=Envelope[IssuedApiKeyView])
async def create_api_key(
    *,
    request: Request,
    parts: State,
    principal: ApiKeysWrite,
    command: Idempotent,
    org_id: UUID,
    body: ApiKeyCreate,
) -> Response:
    """The key is shown only in this answer. It acts for the caller, with some of the caller's permissions."""
    principal.require_organization(org_id)

    async def create(session: AsyncSession) -> Response:
        await api_keys.check_room(session, principal, org_id, parts.settings.api_keys_per_organization)
        issued = await api_keys.issue(session, principal, org_id, api_keys.Wanted(**dict(body)))
        headers = location(request, f"/organizations/{org_id}/api-keys/{issued.id}")
        return reply(request, issued, status=201, headers=headers)

    return await command.run(create)


@router.get("", summary="List API keys", response_model=PageEnvelope[ApiKeyView])
async def list_api_keys(
    *,
    request: Request,
    parts: State,
    principal: ApiKeysRead,
    org_id: UUID,
    page: WantedPage,
    status: KeyStatus | None = None,
) -> Response:
    """The organization's keys, newest first, including those that no longer work."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        keys = ApiKeyRepository(session, Tenant(org_id))
        found = await keys.search(org_id, status=status, at=now(), request=page)
    return reply_page(request, found, [api_keys.view_of(row) for row in found.rows])


@router.get("/{key_id}", summary="Get an API key", response_model=Envelope[ApiKeyView])
async def get_api_key(request: Request, parts: State, principal: ApiKeysRead, org_id: UUID, key_id: UUID) -> Response:
    """What a key is for, and when it was last used (to the minute)."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await _key(session, org_id, key_id)
    return reply(request, api_keys.view_of(row))


@router.patch("/{key_id}", summary="Change an API key", response_model=Envelope[ApiKeyView])
async def change_api_key(
    *,
    request: Request,
    principal: ApiKeysWrite,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    key_id: UUID,
    body: ApiKeyPatch,
) -> Response:
    """Changes the name or the key's own rate limit. Its permissions never change: create another key instead."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        row = await _key(session, org_id, key_id, lock=True)
        precondition.check(api_keys.view_of(row))
        await audited_writes.change(session, row, body.changes())
        await notify(session)
        return reply(request, api_keys.view_of(row))

    return await command.run(carry_out)


@router.post(
    "/{key_id}/rotate", summary="Rotate an API key", status_code=201, response_model=Envelope[IssuedApiKeyView]
)
async def rotate_api_key(
    *,
    request: Request,
    parts: State,
    principal: ApiKeysWrite,
    command: Idempotent,
    org_id: UUID,
    key_id: UUID,
    body: ApiKeyRotation | None = None,
) -> Response:
    """Issues a new key. The old one keeps working until the overlap ends. The new one acts for the caller."""
    principal.require_organization(org_id)
    wanted = body or ApiKeyRotation()

    async def carry_out(session: AsyncSession) -> Response:
        # Twice the limit, so that an organization that is at its limit can still rotate each of its keys.
        await api_keys.check_room(session, principal, org_id, 2 * parts.settings.api_keys_per_organization)
        old = await _key(session, org_id, key_id, lock=True)
        overlap = timedelta(seconds=wanted.overlap_seconds)
        issued = await api_keys.rotate(session, principal, old, overlap=overlap, expires_at=wanted.expires_at)
        headers = location(request, f"/organizations/{org_id}/api-keys/{issued.id}")
        return reply(request, issued, status=201, headers=headers)

    return await command.run(carry_out)


@router.delete("/{key_id}", summary="Revoke an API key", status_code=204)
async def revoke_api_key(parts: State, principal: ApiKeysWrite, org_id: UUID, key_id: UUID) -> Response:
    """The key stops working everywhere within a second. Its record stays."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await api_keys.revoke(session, await _key(session, org_id, key_id, lock=True))
    return Response(status_code=204)
