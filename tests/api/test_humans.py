"""Independence is judged by the human behind a principal: who that is, for each kind of it."""

from uuid import UUID

import pytest
from sqlalchemy import update

from api.api_keys import Wanted, issue
from api.auth.claims import outside_principal
from api.auth.principal import Principal
from api.clients import Clients
from contracts.operations import BuildAndDeployInput
from domain.access import Role, Scope, permissions_of
from runtime.ids import new_id, now
from runtime.trusted import TrustedIssuer
from storage.engine import transaction
from storage.models import Client, Operation
from storage.repositories.clients import ClientKind
from tests.api.conftest import make_world
from tests.api.people import acceptance, as_member, invited, joined, organization


@pytest.fixture
async def fresh(platform, caller):
    return await make_world(platform, caller, f"humans-{new_id()}")


@pytest.fixture
def admin(caller, fresh):
    return caller(Role.ADMIN, fresh.org["id"])


@pytest.fixture
def machine(caller, fresh):
    """A service account that somebody makes, as a caller."""

    async def make(maker, role: Role = Role.RELEASE_MANAGER):
        path = f"/organizations/{fresh.org['id']}/service-accounts"
        account = await maker.made(path, {"name": "CI", "role": role})
        return caller(role, fresh.org["id"], subject=account["id"])

    return make


@pytest.fixture
async def approvals(*, fresh, build_of, operations, rows):
    """What the workflow is told of an approval by somebody; raises the answer when it is refused before."""
    made = await build_of(fresh, "1.0.0", live=False)
    async with transaction(rows) as session:
        started = update(Operation).where(Operation.id == UUID(made["operation_id"]))
        await session.execute(started.values(workflow_started_at=now()))

    async def by(who, **options):
        operations.decided.clear()
        answer = await who.post(f"/deployments/{made['deployment_id']}/approve", **options)
        return operations.decided[0][2] if answer.status_code == 200 else answer

    return by


async def requester_of(fresh, operations, who) -> set[str]:
    operations.started.clear()
    body = {"version_tag": "3.0.0", "git_branch": "main", "environment": "staging", "request_approval": True}
    answer = await who.post(f"/features/{fresh.feature['id']}/build-and-deploy", body)
    assert answer.status_code == 202, answer.text
    [(_, order)] = operations.started
    requester = BuildAndDeployInput.model_validate(order).requester
    assert requester is not None
    return set(requester.humans)


async def test_two_service_accounts_of_one_admin_are_one_human(*, fresh, admin, machine, operations, approvals):
    one, two = await machine(admin), await machine(admin)
    assert await requester_of(fresh, operations, one) == {admin.subject}
    told = await approvals(two)
    assert (told.actor, set(told.humans)) == (two.subject, {admin.subject})


async def test_a_service_account_of_a_service_account_is_the_same_human(*, admin, machine, approvals):
    first = await machine(admin, Role.ADMIN)
    assert set((await approvals(await machine(first))).humans) == {admin.subject}


async def test_whoever_was_shown_the_secret_answers_for_it_too(*, fresh, admin, caller, machine, approvals):
    account = await machine(admin)
    other = caller(Role.ADMIN, fresh.org["id"])
    path = f"/organizations/{fresh.org['id']}/service-accounts/{account.subject}/rotate-secret"
    assert (await other.post(path)).status_code == 200
    assert set((await approvals(account)).humans) == {admin.subject, other.subject}


async def test_who_held_an_earlier_secret_answers_on_after_somebody_else_rotated_it(
    *, fresh, admin, caller, machine, approvals
):
    """A key that the account made with the earlier secret works on, and so does a token for its hour."""
    account = await machine(admin)
    other = caller(Role.ADMIN, fresh.org["id"])
    path = f"/organizations/{fresh.org['id']}/service-accounts/{account.subject}/rotate-secret"
    assert (await other.post(path)).status_code == 200
    assert (await admin.post(path)).status_code == 200
    assert set((await approvals(account)).humans) == {admin.subject, other.subject}


async def test_a_key_is_whoever_made_it_also_one_that_was_rotated(*, fresh, admin, caller, approvals):
    keys = f"/organizations/{fresh.org['id']}/api-keys"
    member = as_member(caller, await joined(admin, fresh.org["id"], f"{new_id()}@example.com", "admin"))
    key = await member.made(keys, {"name": "k", "scopes": ["deployments:approve", "deployments:read"]})
    told = await approvals(member, headers={"Authorization": "", "X-API-Key": key["key"]})
    assert told.status_code == 401  # two credentials of which one is none
    rotated = await member.made(f"{keys}/{key['id']}/rotate", {})
    member.http.headers.pop("Authorization")
    told = await approvals(member, headers={"X-API-Key": rotated["key"]})
    assert told.actor == member.subject
    assert member.subject in told.humans


async def test_an_account_that_somebody_could_have_made_for_themselves_is_vouched_for_by_them(
    *, fresh, admin, caller, approvals
):
    """The link of an invitation is printed for who invites: nothing shows that somebody else used it."""
    org = fresh.org["id"]
    first = as_member(caller, await joined(admin, org, f"{new_id()}@example.com", "admin"))
    second = as_member(caller, await joined(first, org, f"{new_id()}@example.com", "release_manager"))
    told = await approvals(second)
    assert second.subject in told.humans
    assert {first.subject, admin.subject} <= set(told.vouched_by)


async def test_a_second_account_of_an_address_is_vouched_for_by_who_invited_it(
    *, fresh, platform, admin, caller, approvals
):
    """Somebody else's invitation of the same address, accepted long ago, hid who made the second account."""
    email, org = f"{new_id()}@example.com", fresh.org["id"]
    elsewhere = await organization(platform, f"elsewhere-{new_id()}")
    first = await joined(platform, elsewhere, email, "viewer")
    accepted = acceptance(await invited(admin, org, email, "release_manager"), password="another password")
    answer = await admin.post("/invitations/accept", accepted)
    assert answer.status_code == 200, answer.text
    puppet = answer.json()["data"]
    assert puppet["id"] != first["id"]
    assert admin.subject in (await approvals(as_member(caller, puppet))).vouched_by


async def test_two_addresses_of_one_mailbox_are_one_human(*, fresh, admin, caller, approvals):
    org, name = fresh.org["id"], new_id()
    plain = as_member(caller, await joined(admin, org, f"{name}@example.com", "release_manager"))
    tagged = as_member(caller, await joined(admin, org, f"{name}+2@example.com", "release_manager"))
    one, two = set((await approvals(plain)).humans), set((await approvals(tagged)).humans)
    assert one & two == {f"mailbox:{name}@example.com"}


async def test_a_service_account_whose_owner_has_left_approves_nothing_until_somebody_takes_it_over(
    *, fresh, admin, caller, machine, approvals
):
    org = fresh.org["id"]
    member = as_member(caller, await joined(admin, org, f"{new_id()}@example.com", "admin"))
    await joined(admin, org, f"{new_id()}@example.com", "admin")  # the last admin cannot leave
    account = await machine(member)
    assert member.subject in (await approvals(account)).humans
    assert (await admin.http.delete(f"/organizations/{org}/members/{member.subject}")).status_code == 204
    refused = await approvals(account)
    assert refused.status_code == 403
    assert "has left the organization" in refused.json()["error"]["message"]
    assert (await admin.post(f"/organizations/{org}/service-accounts/{account.subject}/rotate-secret")).is_success
    assert admin.subject in (await approvals(account)).humans


ISSUER = TrustedIssuer.model_validate(
    {"name": "corp", "issuer": "https://idp.example.com", "audience": "a", "jwks_url": "https://idp.example.com/jwks"}
)


@pytest.mark.parametrize(
    ("more", "is_machine"),
    [
        ({}, False),
        ({"azp": "the-app"}, False),
        ({"client_id": "s"}, True),
        ({"azp": "s"}, True),
        ({"idtyp": "app"}, True),
        ({"gty": "client-credentials"}, True),
        ({"oid": "s", "azp": "the-app"}, True),
        ({"oid": "another", "azp": "the-app"}, False),
        ({"preferred_username": "service-account-ci", "azp": "ci"}, True),
        ({"preferred_username": "ada", "azp": "the-app"}, False),
        ({"sub": "repo:acme/shop:ref:refs/heads/main"}, True),
        ({"sub": "project_path:acme/shop:ref_type:branch:ref:main"}, True),
        ({"sub": "system:serviceaccount:ci:deployer"}, True),
    ],
)
def test_nobody_knows_who_is_behind_a_foreign_machine(more, is_machine):
    claims = {"sub": "s", ISSUER.role_claim: "release_manager", ISSUER.organization_claim: str(new_id()), **more}
    assert outside_principal(claims, ISSUER).is_foreign_machine is is_machine


async def test_what_a_foreign_machine_made_approves_no_more_than_itself(*, fresh, rows, caller, approvals):
    """A key, or a service account, of a program of another issuer counted as a human of its own."""
    org = UUID(fresh.org["id"])
    scopes = frozenset({Scope.DEPLOYMENTS_APPROVE, Scope.DEPLOYMENTS_READ})
    machine = Principal("corp:ci", org, Role.ADMIN, permissions_of(Role.ADMIN), "user:corp:ci", is_foreign_machine=True)
    async with transaction(rows) as session:
        issued = await issue(session, machine, org, Wanted("k", scopes, None, None))
        row = Client(id=new_id(), organization_id=org, kind=ClientKind.SERVICE_ACCOUNT, name="CI", created_by="corp:ci")
        row.role, row.scopes = "release_manager", sorted(scopes)
        await Clients(session, machine, org, ClientKind.SERVICE_ACCOUNT).add(row, confidential=True, most=100)
    account = caller(Role.RELEASE_MANAGER, fresh.org["id"], subject=str(row.id))
    refused = await approvals(account)
    assert (refused.status_code, "a machine of another issuer" in refused.text) == (403, True)
    by_key = caller(Role.RELEASE_MANAGER, fresh.org["id"])
    by_key.http.headers.pop("Authorization")
    refused = await approvals(by_key, headers={"X-API-Key": issued.key})
    assert (refused.status_code, "approve as a person" in refused.text) == (403, True)


async def test_an_admins_key_beside_the_same_admins_token_is_one_principal(fresh, platform):
    """A platform admin's token names no organization, and a key always one."""
    keys = f"/organizations/{fresh.org['id']}/api-keys"
    made = await platform.made(keys, {"name": "k", "scopes": ["projects:read"]})
    answer = await platform.get(f"/projects/{fresh.project['id']}", headers={"X-API-Key": made["key"]})
    assert answer.status_code == 200, answer.text
    assert (await platform.post("/organizations", {}, headers={"X-API-Key": made["key"]})).status_code == 403
