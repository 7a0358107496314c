"""The published table of roles."""

from fastapi import APIRouter, Request, Response

from api.auth.permissions import Authenticated
from api.http.envelope import Envelope, reply
from api.schemas.roles import RoleView
from domain.permissions import DESCRIPTIONS, GRANTS, MemberRole

_ASSIGNABLE = frozenset(role.value for role in MemberRole)
router = APIRouter(tags=["Roles"])


@router.get("/roles", summary="List roles", response_model=Envelope[list[RoleView]])
async def list_roles(request: Request, _: Authenticated) -> Response:
    """Every role and its permissions, lowest first. A token carries its role's permissions, limited by its scopes."""
    return reply(
        request,
        [
            RoleView(
                name=role,
                description=DESCRIPTIONS[role],
                assignable=role.value in _ASSIGNABLE,
                permissions=sorted(scopes),
            )
            for role, scopes in GRANTS.items()
        ],
    )
