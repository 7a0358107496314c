"""Commands against the real API (without a worker): what they send, ask, print, and how they end."""

import asyncio
import json

import pytest

from domain.permissions import Role
from examples.repository import ServiceRepository
from tests.api.conftest import (
    app,
    build_of,
    caller,
    operations,
    patient_health,
    plain_logs,
    platform,
    quick_secrets,
    recorder,
    rows,
    settings,
    world,
)
from tests.fuzz.conftest import served

__all__ = [
    "app",
    "build_of",
    "caller",
    "operations",
    "patient_health",
    "plain_logs",
    "platform",
    "quick_secrets",
    "recorder",
    "rows",
    "served",
    "settings",
    "world",
]


@pytest.fixture
def tell(delivery, served, world, caller, monkeypatch):
    """Runs a command as a release manager of the world's organization, beside the API that answers it."""
    manager = caller(Role.ADMIN, world.org["id"])
    monkeypatch.setenv("DELIVERY_URL", served)
    monkeypatch.setenv("DELIVERY_TOKEN", manager.token)

    async def call(*arguments, code=0, **options):
        said = await asyncio.to_thread(delivery, *arguments, **options)
        assert said.code == code, said
        assert manager.token not in said.out + said.err
        return said

    return call


async def test_who_one_is(tell, world):
    answer = json.loads((await tell("whoami", "--json", "role,organization,by")).out)
    assert answer == {"role": "admin", "organization": world.org["slug"], "by": "DELIVERY_TOKEN"}


async def test_a_secret_comes_from_standard_input_and_is_never_printed(tell):
    said = await tell(
        "secrets", "set", "DATABASE_URL", "-p", "shop", "--env", "staging", given="postgresql://x:hidden@db/shop\n"
    )
    assert "version 1" in said.out
    said = await tell("secrets", "set", "DATABASE_URL", "-p", "shop", "--env", "staging", given="other-hidden\n")
    assert "version 2" in said.out
    listed = await tell("secrets", "list", "-p", "shop", "--json")
    assert [(one["name"], one["environment"], one["version"]) for one in json.loads(listed.out)] == [
        ("DATABASE_URL", "staging", 2)
    ]
    assert "hidden" not in listed.out + said.out + said.err
    assert (await tell("secrets", "set", "EMPTY", "-p", "shop", given="", code=2)).err.startswith(
        "error: the value is empty"
    )
    refused = await tell("secrets", "delete", "DATABASE_URL", "-p", "shop", "--env", "staging", code=2)
    assert "--yes" in refused.err
    await tell("secrets", "delete", "DATABASE_URL", "-p", "shop", "--env", "staging", "--yes")


async def test_a_value_that_is_too_long_or_no_text_is_refused_not_cut(tell, tmp_path):
    (tmp_path / "long").write_text("x" * 65_537)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, words in (("long", "longer than 65536"), ("bytes", "no text in UTF-8")):
        said = await tell("secrets", "set", "A", "-p", "shop", "--from-file", str(tmp_path / name), code=2)
        assert words in said.err


async def test_listening_where_the_engine_may_not_send_says_what_to_do(tell):
    said = await tell("webhooks", "listen", "--port", "0", code=2)
    assert "may not send to this machine" in said.err
    assert "DELIVERY_EGRESS_NETWORKS=127.0.0.0/8 DELIVERY_WEBHOOK_PORTS=any" in said.err
    assert json.loads((await tell("webhooks", "list", "--json")).out) == []


async def test_a_key_is_printed_alone_so_that_a_file_can_take_it(tell):
    said = await tell("keys", "create", "ci", "-s", "projects:read")
    assert said.out.startswith("sk-live_")
    assert said.out.count("\n") == 1
    assert "only time" in said.err
    key = json.loads((await tell("keys", "list", "--json", "id,name,status")).out)[0]
    assert (key["name"], key["status"]) == ("ci", "active")
    await tell("keys", "revoke", key["id"], "--yes")
    assert json.loads((await tell("keys", "list", "--status", "active", "--json")).out) == []


async def test_history_status_and_an_error_as_json(tell, world, build_of):
    made = await build_of(world, "1.0.0")
    rows = (await tell("history", "-p", "shop")).out.splitlines()
    assert rows[0].split("\t")[:3] == ["1.0.0", "dev", "success"]
    told = json.loads((await tell("status", made["deployment_id"], "--json", "version_tag,done,exit_code")).out)
    assert told == {"version_tag": "1.0.0", "done": True, "exit_code": 0}
    missing = json.loads((await tell("status", world.org["id"], "--json", code=1)).err)["error"]
    assert (missing["code"], missing["status"], missing["retryable"]) == ("RESOURCE_NOT_FOUND", 404, False)
    assert missing["request_id"]
    odd = await tell("history", "-p", "shop", "--status", "odd", code=2)
    assert "status" in odd.err


async def test_an_environment_is_shown_and_set(tell):
    assert "policy     queue" in (await tell("env", "show", "dev", "-p", "shop")).out
    await tell("env", "policy", "dev", "supersede", "-p", "shop", "--yes")
    window = (
        '- {name: night, kind: deny, time_zone: UTC, start: "2026-01-01T22:00:00", duration: PT8H, rrule: FREQ=DAILY}\n'
    )
    await tell("env", "windows", "dev", "-p", "shop", "--from-file", "-", "--yes", given=window)
    settings = json.loads((await tell("env", "show", "dev", "-p", "shop", "--json", "settings")).out)["settings"]
    assert (settings["policy"], settings["windows"][0]["name"]) == ("supersede", "night")
    await tell("env", "windows", "dev", "-p", "shop", "--clear", "--yes")
    bad = await tell("env", "policy", "dev", "perhaps", "-p", "shop", "--yes", code=2)
    assert "policy" in bad.err


async def test_deploy_creates_what_is_missing_after_one_question(tell, world, tmp_path, monkeypatch, operations):
    repository = ServiceRepository(tmp_path / "basket")
    commit = repository.commit("1.4.0")
    repository.git("remote", "add", "origin", "git@git.example.com:acme/basket.git")
    monkeypatch.chdir(repository.folder)
    alone = await tell("deploy", code=2)
    assert "create the project basket of ssh://git@git.example.com/acme/basket.git" in alone.err
    said = await tell(
        "deploy", "--json", "version_tag,git_commit_hash,git_branch,environment", given="no\n", terminal=True, code=2
    )
    assert "left as it is" in said.err
    said = await tell("deploy", given="y\n", terminal=True)
    assert said.err.count("[y/N]") == 1
    assert "in no remote branch known here" in said.err
    found = json.loads((await tell("status", "--json", "version_tag,git_commit_hash,git_branch,environment")).out)
    assert found == {"version_tag": "1.4.0", "git_commit_hash": commit, "git_branch": "main", "environment": "dev"}
    again = repository.commit("1.4.1")
    await tell("deploy", "--env", "staging", "--canary", "10")  # nothing is missing now: nothing is asked
    found = json.loads(
        (
            await tell("status", "--env", "staging", "--json", "git_commit_hash,canary_percentage,deployment_strategy")
        ).out
    )
    assert found == {"git_commit_hash": again, "canary_percentage": 10, "deployment_strategy": "canary"}


async def test_a_project_that_is_not_there(tell, monkeypatch, tmp_path):
    missing = await tell("history", "-p", "nothing", code=2)
    assert "no project 'nothing'" in missing.err
    monkeypatch.chdir(tmp_path)
    outside = await tell("history", code=2)
    assert "is in no git repository" in outside.err


async def test_what_was_done_is_in_the_audit(tell):
    rows = json.loads((await tell("audit", "--limit", "3", "--json", "action,actor")).out)
    assert len(rows) == 3
    assert (await tell("audit", "--since", "yesterday", code=2)).err


async def test_a_webhook_is_made_listed_and_removed(tell):
    said = await tell("webhooks", "create", "https://example.com/hook", "--event", "deployment.completed")
    assert said.out.startswith("whsec_")
    [hook] = json.loads((await tell("webhooks", "list", "--json", "id,url,events")).out)
    assert hook["events"] == ["deployment.completed"]
    await tell("webhooks", "delete", hook["id"], "--yes")
    assert (await tell("webhooks", "list")).err == "no webhooks yet\n"


async def test_a_wrong_token_says_what_to_do(delivery, served, monkeypatch):
    monkeypatch.setenv("DELIVERY_URL", served)
    monkeypatch.setenv("DELIVERY_TOKEN", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA")
    said = await asyncio.to_thread(delivery, "whoami")
    assert said.code == 1
    assert "`delivery login` again" in said.err


async def test_a_login_by_key_is_tried_before_it_is_kept(delivery, served, tell, home, monkeypatch):
    key = (await tell("keys", "create", "laptop", "-s", "organizations:read", "-s", "projects:read")).out.strip()
    monkeypatch.delenv("DELIVERY_TOKEN")
    bad = await asyncio.to_thread(delivery, "login", served, "--with-key", given="sk-live_" + "a" * 38)
    assert bad.code == 1
    assert not (home / ".config" / "delivery" / "credentials.json").exists()
    good = await asyncio.to_thread(delivery, "login", served, "--with-key", given=key + "\n")
    assert good.code == 0, good
    assert key not in good.out + good.err
    monkeypatch.delenv("DELIVERY_URL")
    assert (await asyncio.to_thread(delivery, "whoami", "--jq", ".by")).out == "login\n"
    assert (await asyncio.to_thread(delivery, "logout")).code == 0
    assert (await asyncio.to_thread(delivery, "whoami")).code == 2
