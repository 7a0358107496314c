"""What others than the API write: workers of deployments, browsers that log in, senders of webhooks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import (
    Analysis,
    Grant,
    Instance,
    LoginSession,
    Mail,
    RefreshToken,
    Release,
    Revocation,
    Route,
    RoutingGeneration,
    TimelineEntry,
    WebhookAttempt,
)
from tests.api.owned_resources import Owner

LATER = timedelta(hours=1)


async def record(rows: Sessions, owner: Owner) -> None:
    """Rows of an organization in the tables that no request of the API fills."""
    async with transaction(rows) as session:
        release = await session.get_one(Release, UUID(owner.made["deployment_id"]))
        if await session.scalar(select(RoutingGeneration)) is None:
            session.add(RoutingGeneration(id=1, generation=1))
        session.add_all([*_of_workers(owner, release), *_of_people(owner), _mail(owner)])


def _mail(owner: Owner) -> Mail:
    """Of an engine that has a mail server."""
    return Mail(
        id=new_id(),
        organization_id=UUID(owner.made["org_id"]),
        recipient="invited@example.com",
        kind="invitation",
        resource_id=new_id(),
        status="sent",
        expires_at=now() + LATER,
    )


def _of_workers(owner: Owner, release: Release) -> list[Any]:
    return [
        Instance(id=f"{release.id}-0", release_id=release.id, index=0, address="127.0.0.1", port=1),
        Route(environment_id=release.environment_id, host=f"{release.id}.example.com", generation=1),
        Analysis(deployment_id=release.deployment_id, key="canary", state={}, judgement={}),
        TimelineEntry(
            deployment_id=release.deployment_id, kind="status", key="1", data={"from": "pending", "to": "queued"}
        ),
        WebhookAttempt(
            delivery_id=UUID(owner.made["delivery_id"]),
            number=1,
            url="https://hooks.example.com/",
            started_at=now(),
            duration_ms=1,
            request_headers={},
        ),
    ]


def _of_people(owner: Owner) -> list[Any]:
    organization_id, user_id = UUID(owner.made["org_id"]), UUID(owner.made["user_id"])
    grant = Grant(
        id=new_id(),
        client_id=UUID(owner.made["client_id"]),
        user_id=user_id,
        organization_id=organization_id,
        scopes=[],
        redirect_uri="https://b.example.com/",
        code_hash=str(new_id()),
        code_challenge="c",
        expires_at=now() + LATER,
    )
    return [
        grant,
        RefreshToken(id=new_id(), grant_id=grant.id, token_hash=str(new_id())),
        LoginSession(id=new_id(), token_hash=str(new_id()), user_id=user_id, expires_at=now() + LATER),
        Revocation(
            id=new_id(),
            kind="token",
            value=str(new_id()),
            organization_id=organization_id,
            expires_at=now() + LATER,
        ),
    ]
