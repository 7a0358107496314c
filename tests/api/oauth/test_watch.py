"""What a process knows of revocations while it cannot look them up."""

import pytest
from sqlalchemy import text

from api.auth import refresh
from storage.engine import transaction
from tests.api.oauth.conftest import eventually, post


@pytest.fixture
async def tokens(people, http) -> list[str]:
    machine = await people.machine(await people.organization())
    form = {"grant_type": "client_credentials", **machine.form}
    made = [(await post(http, "token", form)).json()["access_token"] for _ in range(2)]
    await post(http, "revoke", {"token": made[0], **machine.form})
    return made


async def test_the_last_known_revocations_hold_and_health_says_so(*, http, tokens, use, rows, monkeypatch, app):
    revoked, good = tokens

    async def access() -> str | None:
        monkeypatch.setattr(app.state.parts.health, "_seen_at", float("-inf"))
        return (await http.get("/health")).json()["services"].get("access")

    async def refused() -> bool:
        return await use(revoked) == 401

    async def degraded() -> bool:
        return await access() == "degraded"

    async def well() -> bool:
        return await access() is None

    await eventually(refused)
    monkeypatch.setattr(refresh, "STALE_AFTER_S", 1.5)
    async with transaction(rows) as session:
        await session.execute(text("ALTER TABLE revocations RENAME TO mislaid"))
    try:
        await eventually(degraded)
        assert (await use(revoked), await use(good)) == (401, 200)
    finally:
        async with transaction(rows) as session:
            await session.execute(text("ALTER TABLE mislaid RENAME TO revocations"))
    await eventually(well)
