"""`Idempotency-Key`: every POST and PATCH takes it, and says when it is used in a wrong way."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.app import OPEN_ROUTERS, ROUTERS
from api.http.idempotency import Command, _command, _open_command
from api.openapi.traversal import parameters_of
from domain.errors import ConflictError
from runtime.encryption import Sealer
from runtime.key_text import KEY_BYTES
from storage.engine import transaction
from storage.models import IdempotencyKey as KeptAnswer
from storage.repositories.idempotency import KeyedRequest
from tests.api.http.test_errors import check_error


def changing() -> Iterator[APIRoute]:
    for router in (*ROUTERS, *OPEN_ROUTERS):
        for route in router.routes:
            if isinstance(route, APIRoute) and route.methods & {"POST", "PATCH"}:
                yield route


@pytest.mark.parametrize("route", list(changing()), ids=lambda route: f"{min(route.methods)} {route.path}")
def test_every_change_may_be_repeated_safely(route):
    assert {_command, _open_command} & set(calls(route.dependant))


def calls(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from calls(dependency)


def test_every_change_documents_its_key(app):
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method in operations.keys() & {"post", "patch"}:
            names = {one["name"].lower() for one in parameters_of(document, operations[method])}
            assert "idempotency-key" in names, (method, path)


async def test_a_repeated_request_is_answered_from_memory(platform):
    body = {"name": "Twice", "slug": "twice"}
    first = await platform.post("/organizations", body, headers={"Idempotency-Key": "twice-1"})
    again = await platform.post("/organizations", body, headers={"Idempotency-Key": '"twice-1"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["data"] == first.json()["data"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_hooks_are_done_once_after_the_commit(app, rows):
    """In their order; not when the transaction fails, nor for a request that is answered from memory."""
    keyed = KeyedRequest(
        principal="hooked", key="hooks-1", organization_id=None, method="POST", path="/hooked", body=b"{}"
    )
    done: list[str] = []

    async def look() -> None:
        async with transaction(rows) as session:
            kept = await session.scalar(select(KeptAnswer).where(KeptAnswer.key == keyed.key))
        done.append("committed" if kept is not None and kept.status == 202 else "too early")

    async def again() -> None:
        done.append("second")

    async def send(fault: Exception | None = None) -> Response:
        command = Command(app.state.parts, keyed)

        async def effect(_: AsyncSession) -> Response:
            command.after_commit(look)
            command.after_commit(again)
            if fault is not None:
                raise fault
            return Response(b"{}", status_code=202)

        return await command.run(effect)

    with pytest.raises(ConflictError):
        await send(ConflictError("no"))
    assert done == []
    assert (await send()).status_code == (await send()).status_code == 202
    assert done == ["committed", "second"]


async def test_a_key_belongs_to_one_request(platform, world):
    body = {"name": "Once", "slug": "once"}
    headers = {"Idempotency-Key": "once-1"}
    assert (await platform.post("/organizations", body, headers=headers)).status_code == 201
    other = await platform.post("/organizations", {**body, "slug": "other-once"}, headers=headers)
    check_error(other, 422, "IDEMPOTENCY_KEY_REUSED")
    elsewhere = await platform.patch(f"/features/{world.feature['id']}/status", {"status": "blocked"}, headers=headers)
    assert elsewhere.status_code >= 400


async def test_two_at_once_do_it_once(platform):
    body, headers = {"name": "Race", "slug": "race"}, {"Idempotency-Key": "race-1"}
    answers = await asyncio.gather(*[platform.post("/organizations", body, headers=headers) for _ in range(6)])
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["data"]["id"] for answer in done}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in done) == 1
    for answer in answers:
        if answer not in done:
            check_error(answer, 409, "IDEMPOTENCY_IN_PROGRESS")


@pytest.mark.parametrize("key", ["", '""', "a" * 256, "a" * 300, "a\tb"])
async def test_a_key_that_is_none_is_400(platform, key):
    response = await platform.post("/organizations", {"name": "N", "slug": "n"}, headers={"Idempotency-Key": key})
    error = check_error(response, 400, "VALIDATION_ERROR")
    assert "idempotency-key" in {fault["field"].lower() for fault in error["details"]}


async def test_what_is_kept_of_an_answer_cannot_be_read_in_the_database(platform, rows):
    body, headers = {"name": "Sealed Corp", "slug": "sealed"}, {"Idempotency-Key": "sealed-1"}
    assert (await platform.post("/organizations", body, headers=headers)).status_code == 201
    async with transaction(rows) as session:
        row = await session.scalar(select(KeptAnswer).where(KeptAnswer.key == "sealed-1"))
    assert b"Sealed Corp" not in row.body
    again = await platform.post("/organizations", body, headers=headers)
    assert again.json()["data"]["name"] == "Sealed Corp"


async def test_an_answer_whose_key_was_taken_out_is_a_conflict_and_nothing_is_done_twice(app, settings, platform):
    headers, body = {"Idempotency-Key": "rotated-away"}, {"name": "Sealed", "slug": "rotated-away"}
    assert (await platform.post("/organizations", body, headers=headers)).status_code == 201
    parts = app.state.parts
    app.state.parts = replace(parts, sealer=Sealer([b"n" * KEY_BYTES]))
    try:
        answer = await platform.post("/organizations", body, headers=headers)
        assert "take a new key" in check_error(answer, 409, "CONFLICT")["message"]
        other = await platform.post(
            "/organizations", {**body, "slug": "rotated-later"}, headers={"Idempotency-Key": "rotated-new"}
        )
        assert other.status_code == 201
    finally:
        app.state.parts = parts
    again = await platform.post("/organizations", body, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
