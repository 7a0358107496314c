"""ETags: what was seen is what is changed, and what has not changed is not sent again."""

import asyncio

import pytest

from tests.api.http.test_errors import check_error
from tests.support.facts import facts


@pytest.fixture
def addresses(world) -> list[str]:
    project = world.project["id"]
    return [
        f"/organizations/{world.org['id']}",
        f"/projects/{project}",
        f"/projects/{project}/environments/dev",
        f"/requirements/{world.requirement['id']}",
        f"/features/{world.feature['id']}",
    ]


async def etag_at(caller, path: str) -> str:
    return (await caller.get(path)).headers["etag"]


async def test_every_resource_has_a_strong_tag_and_answers_304(world, addresses, build_of):
    made = await build_of(world, "7.0.1")
    more = [f"/{kind}s/{made[f'{kind}_id']}" for kind in ("build", "deployment", "operation")]
    for path in addresses + more:
        first = await world.manager.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('"'), path
        assert await etag_at(world.manager, path) == tag
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = await world.manager.get(path, headers={"If-None-Match": given})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), path
            assert same.headers["x-request-id"]
        for given in ('"other"', "unquoted", '"'):
            assert (await world.manager.get(path, headers={"If-None-Match": given})).status_code == 200


async def test_the_tag_of_the_answer_to_a_change_is_the_one_that_get_tells(world):
    path = f"/requirements/{world.requirement['id']}/features"
    made = await world.developer.post(path, {"name": "Tagged", "description": "x"})
    feature = f"/features/{made.json()['data']['id']}"
    assert made.headers["etag"] == await etag_at(world.developer, feature)
    changed = await world.developer.patch(f"{feature}/status", {"status": "in_progress"})
    assert changed.headers["etag"] == await etag_at(world.developer, feature) != made.headers["etag"]


async def test_a_stale_change_is_412_and_changes_nothing(world):
    feature = f"/features/{world.feature['id']}"
    old = await etag_at(world.developer, feature)

    async def change(status: str, tag: str):
        return await world.developer.patch(f"{feature}/status", {"status": status}, headers={"If-Match": tag})

    assert (await change("in_progress", old)).status_code == 200
    error = check_error(await change("completed", old), 412, "PRECONDITION_FAILED")
    new = await etag_at(world.developer, feature)
    assert facts(error) == {"etag": new}
    for tag in (f"W/{new}", '"other"'):
        check_error(await change("completed", tag), 412, "PRECONDITION_FAILED")
    assert await etag_at(world.developer, feature) == new
    assert (await change("in_progress", f'"other" ,, {new}')).status_code == 200
    assert (await change("in_progress", "*")).status_code == 200


@pytest.mark.parametrize("tag", ["", "abc", '"abc', 'w/"abc"', '"a" "b"', '*, "a"', '"a b"', '"' + "a" * 3000 + '"'])
async def test_a_malformed_if_match_is_400(world, tag):
    path = f"/features/{world.feature['id']}/status"
    response = await world.developer.patch(path, {"status": "in_progress"}, headers={"If-Match": tag})
    assert check_error(response, 400, "VALIDATION_ERROR")["details"][0]["field"].lower() == "if-match"


async def test_only_one_of_two_who_saw_the_same_changes_it(world):
    for path, body in (
        (f"/projects/{world.project['id']}/environments/staging", {"policy": "reject"}),
        (f"/projects/{world.project['id']}/environments/staging", {"policy": "supersede"}),
        (f"/features/{world.feature['id']}", {"status": "completed"}),
    ):
        tag = await etag_at(world.manager, path)
        where = path + ("/status" if "features" in path else "")
        caller = world.developer if "features" in path else world.manager
        asked = [caller.patch(where, body, headers={"If-Match": tag}) for _ in range(4)]
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*asked)])
        assert statuses == [200, 412, 412, 412], where


async def test_a_replay_is_not_checked_again(world):
    feature = f"/features/{world.feature['id']}"
    headers = {"If-Match": await etag_at(world.developer, feature), "Idempotency-Key": "etag-replay"}
    first = await world.developer.patch(f"{feature}/status", {"status": "in_progress"}, headers=headers)
    again = await world.developer.patch(f"{feature}/status", {"status": "in_progress"}, headers=headers)
    assert again.status_code == first.status_code == 200
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers["idempotent-replayed"] == "true"
