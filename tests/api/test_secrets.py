"""Secrets of a project: what goes in, what comes out, who may, and how it is stored."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from domain.permissions import Role
from domain.secrets import MAX_SECRETS, MAX_VALUE
from runtime.encryption import load_sealer
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Secret
from storage.sealed import secret_context
from tests.support.facts import facts

VALUE = "postgresql://app:p1anted@db/shop"


@pytest.fixture(scope="module")
def admin(caller, world):
    return caller(Role.ADMIN, world.org["id"])


@pytest.fixture
async def project(admin, world):
    """A new one for each test."""
    slug = f"s{new_id().hex[-12:]}"
    body = {"name": "Shop", "slug": slug, "repository_url": "https://git.example.com:8443/acme/shop"}
    made = await admin.made(f"/organizations/{world.org['id']}/projects", body)
    yield made
    await admin.http.delete(f"/projects/{made['id']}")


def path(project, secret=None) -> str:
    return f"/projects/{project['id']}/secrets" + (f"/{secret['id']}" if secret else "")


def secret(name="DATABASE_URL", value=VALUE, **more):
    return {"name": name, "value": value, **more}


def private_key(password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    form = PrivateFormat.PKCS8 if password else PrivateFormat.OpenSSH
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, form, encryption).decode()


async def test_no_answer_has_the_value_and_the_row_has_it_sealed_for_itself(admin, project, rows, settings):
    keyed = {"Idempotency-Key": "one"}
    answers = [await admin.post(path(project), secret(environment="production"), headers=keyed) for _ in range(2)]
    made = answers[0].json()["data"]
    assert answers[0].status_code == 201
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[0].headers["location"].endswith(path(project, made))
    assert set(made) == {
        "id", "project_id", "name", "kind", "environment", "version", "host", "created_by", "created_at", "updated_at"
    }  # fmt: skip
    assert (made["kind"], made["environment"], made["version"]) == ("service_env", "production", 1)
    answers += [await admin.get(path(project)), await admin.get(path(project, made))]
    assert all("p1anted" not in answer.text for answer in answers)
    async with transaction(rows) as session:
        row = await session.get_one(Secret, made["id"])
        assert b"p1anted" not in row.sealed_value
        assert load_sealer(settings).open(row.sealed_value, secret_context(row.id)) == VALUE.encode()


async def test_a_new_value_is_a_new_version_for_whoever_has_seen_the_last_one(admin, project, rows, settings):
    created = await admin.post(path(project), secret())
    made, etag = created.json()["data"], created.headers["etag"]
    changed = await admin.patch(path(project, made), {"value": "second"}, headers={"If-Match": etag})
    assert changed.json()["data"]["version"] == 2
    late = await admin.patch(path(project, made), {"value": "third"}, headers={"If-Match": etag})
    assert late.status_code == 412
    async with transaction(rows) as session:
        row = await session.get_one(Secret, made["id"])
        assert load_sealer(settings).open(row.sealed_value, secret_context(row.id)) == b"second"
    refused = await admin.http.delete(path(project, made), headers={"If-Match": etag})
    assert refused.status_code == 412
    assert (await admin.http.delete(path(project, made))).status_code == 204
    assert (await admin.get(path(project, made))).status_code == 404


async def test_names_are_unique_in_their_environment_and_credentials_in_the_project(admin, project):
    for more in ({}, {"environment": "dev"}, {"environment": "staging"}):
        await admin.made(path(project), secret(**more))
        clash = await admin.post(path(project), secret(**more))
        assert (clash.status_code, clash.json()["error"]["code"]) == (409, "DUPLICATE_RESOURCE")
    await admin.made(path(project), secret("GIT_ONE", "one", kind="git_https_token"))
    second = await admin.post(path(project), secret("GIT_TWO", "two", kind="git_https_token"))
    assert second.status_code == 409
    assert "GIT_ONE" in second.json()["error"]["message"]
    listed = (await admin.get(f"{path(project)}?environment=dev&sort_by=name")).json()["data"]
    assert [(one["name"], one["environment"]) for one in listed] == [("DATABASE_URL", "dev")]
    listed = (await admin.get(f"{path(project)}?kind=git_https_token")).json()["data"]
    assert [one["name"] for one in listed] == ["GIT_ONE"]


async def test_a_git_token_is_bound_to_the_host_that_the_repository_has(admin, project):
    made = await admin.made(path(project), secret("GIT", "ann:ghp_1", kind="git_https_token"))
    assert made["host"] == "git.example.com:8443"
    moved = {"repository_url": "https://evil.example.com/acme/shop"}
    assert (await admin.patch(f"/projects/{project['id']}", moved)).status_code == 200
    assert (await admin.get(path(project, made))).json()["data"]["host"] == "git.example.com:8443"
    again = await admin.patch(path(project, made), {"value": "ghp_2"})
    assert again.json()["data"]["host"] == "evil.example.com"  # an admin said so
    ssh = {"repository_url": "git@git.example.com:acme/shop"}
    await admin.patch(f"/projects/{project['id']}", ssh)
    assert (await admin.patch(path(project, made), {"value": "ghp_3"})).status_code == 400


async def test_who_may_what(admin, project, caller, world):
    made = await admin.made(path(project), secret())
    for role in (Role.VIEWER, Role.DEVELOPER, Role.RELEASE_MANAGER):
        other = caller(role, world.org["id"])
        assert (await other.get(path(project))).json()["data"][0]["name"] == "DATABASE_URL"
        answers = [
            await other.post(path(project), secret("OTHER")),
            await other.patch(path(project, made), {"value": "x"}),
            await other.http.delete(path(project, made)),
        ]
        assert [answer.status_code for answer in answers] == [403] * 3


async def test_one_projects_secret_is_not_anothers(admin, project, world):
    made = await admin.made(path(project), secret())
    other = f"/projects/{world.project['id']}/secrets/{made['id']}"
    for answer in (await admin.get(other), await admin.patch(other, {"value": "x"}), await admin.http.delete(other)):
        assert answer.status_code == 404


BAD = {
    "lower case": secret("database_url"),
    "begins with a digit": secret("1A"),
    "too long a name": secret("A" * 129),
    "reserved": secret("PORT"),
    "ours": secret("DELIVERY_RELEASE"),
    "the loader's": secret("LD_PRELOAD"),
    "the library's": secret("GLIBC_TUNABLES"),
    "unknown kind": secret(kind="other"),
    "unknown environment": secret(environment="qa"),
    "empty": secret(value=""),
    "not text": secret(value=5),
    "a NUL": secret(value="p1anted\0x"),
    "half a character": secret(value="p1anted\ud800"),
    "too large": secret(value="p1anted" + "x" * MAX_VALUE),
    "too large in UTF-8": secret(value="p1anted" + "ä" * (MAX_VALUE // 2)),
    "a token of two lines": secret(kind="git_https_token", value="p1anted\nx"),
    "an environment's token": secret(kind="git_https_token", value="p1anted", environment="dev"),
    "no key": secret(kind="git_ssh_key", value="p1anted"),
    "a broken key": secret(kind="git_ssh_key", value=private_key()[:200]),
    "a locked key": secret(kind="git_ssh_key", value=private_key(b"secret")),
    "no host keys": secret(kind="ssh_known_hosts", value="# p1anted"),
    "no key of a host": secret(kind="ssh_known_hosts", value="git.example.com ssh-rsa p1anted"),
    "an authority": secret(kind="ssh_known_hosts", value="@cert-authority * ssh-ed25519 p1anted"),
    "one field more": secret(version=5),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_secrets_are_refused_without_being_repeated(admin, project, case):
    body = json.dumps(BAD[case])
    answer = await admin.http.post(path(project), content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), answer.text
    assert "p1anted" not in answer.text
    assert (await admin.get(path(project))).json()["data"] == []


async def test_keys_and_host_keys_are_accepted(admin, project):
    await admin.made(path(project), secret("KEY", private_key(), kind="git_ssh_key"))
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    hosts = f"# ours\ngit.example.com,10.0.0.1 {key} me\n"
    await admin.made(path(project), secret("HOSTS", hosts, kind="ssh_known_hosts"))
    listed = (await admin.get(path(project))).json()["data"]
    assert {(one["name"], one["kind"]) for one in listed} == {("KEY", "git_ssh_key"), ("HOSTS", "ssh_known_hosts")}


async def test_there_is_room_for_so_many_and_for_so_much(admin, project, rows):
    def row(number: int, size: int) -> Secret:
        return Secret(
            id=new_id(),
            organization_id=project["organization_id"],
            project_id=project["id"],
            name=f"N{number}",
            kind="service_env",
            sealed_value=b"x" * size,
            created_by="me",
        )

    async with transaction(rows) as session:
        session.add_all([row(number, 5 * 1024) for number in range(MAX_SECRETS - 1)])
    last = await admin.made(path(project), secret(value="x" * 1024))
    full = await admin.post(path(project), secret("ONE_MORE"))
    assert (full.status_code, facts(full.json()["error"])["quota"]) == (403, "max_secrets")
    large = await admin.patch(path(project, last), {"value": "x" * 60 * 1024})
    assert (large.status_code, facts(large.json()["error"])["quota"]) == (403, "max_secret_bytes")
    assert (await admin.get(path(project, last))).json()["data"]["version"] == 1


async def test_secrets_of_a_deleted_project_can_only_be_read(admin, project):
    made = await admin.made(path(project), secret())
    assert (await admin.http.delete(f"/projects/{project['id']}")).status_code == 204
    assert (await admin.get(path(project))).status_code == 200
    for answer in (await admin.post(path(project), secret("B")), await admin.http.delete(path(project, made))):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_STATE")
