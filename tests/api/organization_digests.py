"""What the database holds of one organization, as digests: equal before and after means that nothing was touched."""

from uuid import UUID

from sqlalchemy import text

from storage.engine import Sessions
from storage.models import Base

# What a refused request may leave behind; none of it is anybody's data.
BOOKKEEPING = frozenset(
    {"idempotency_keys", "attempts", "metric_increments", "metric_rollups", "metric_writers"}  # refusals are counted
)
# Columns that name the organization by another word.
OWNERS = {"organizations": "id", "audit_chains": "chain", "audit_links": "chain"}
# Columns that tell when something was used, and by that change without being changed.
USES = ("last_used_at", "last_used_address")


async def digests(sessions: Sessions, organization_id: str) -> dict[str, str]:
    """By table, the number of its rows and their digest; of tables that name no organization, all rows."""
    found = {}
    async with sessions() as session:
        for name, table in Base.metadata.tables.items():
            if name in BOOKKEEPING:
                continue
            owner = OWNERS.get(name, "organization_id")
            condition = f'WHERE "{owner}" = :owner' if owner in table.columns else ""
            statement = f"""
                SELECT count(*) || ' ' || coalesce(md5(string_agg(content, '' ORDER BY content)), '')
                FROM (SELECT (to_jsonb(kept) - CAST(:uses AS text[]))::text FROM "{name}" AS kept {condition})
                AS found (content)
            """  # noqa: S608 - names of our own tables
            values = {"uses": list(USES)} | ({"owner": UUID(organization_id)} if condition else {})
            found[name] = str((await session.execute(text(statement), values)).scalar_one())
    return found
