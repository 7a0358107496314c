"""Vulnerabilities as they are answered: their rows, and what is live of the builds that have them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.vulnerabilities import VulnerabilityView
from domain.events import vulnerability_more
from runtime.ids import now
from storage.models import Vulnerability
from storage.models.base import columns_of
from storage.repositories.live_releases import LiveReleases


async def vulnerability_views(
    session: AsyncSession,
    rows: Sequence[Vulnerability],
    places: Mapping[UUID, Mapping[str, Any]] | None = None,
) -> list[VulnerabilityView]:
    """Views of rows that somebody may see. `places`: where they are in the build that is asked for."""
    live, moment = await LiveReleases(session).of([row.id for row in rows]), now()
    views = []
    for row in rows:
        values = {**columns_of(row), **(places or {}).get(row.id, {})}
        views.append(VulnerabilityView.model_validate({**values, **vulnerability_more(values, live[row.id], moment)}))
    return views


async def vulnerability_view(session: AsyncSession, row: Vulnerability) -> VulnerabilityView:
    """The same of one."""
    [view] = await vulnerability_views(session, [row])
    return view
