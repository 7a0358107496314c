"""Independence is judged by the human behind a principal: who that is, for each kind of it."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import update

from api.auth.api_key_cache import ApiKeyCache
from api.auth.claims import outside_principal
from api.auth.principal import Principal
from api.services.api_keys import Wanted, issue
from api.services.clients import Clients
from api.services.deployments.options import DeploymentRequest, required_approval
from api.services.humans import person_of
from contracts.operations import BuildAndDeployInput
from domain.api_keys import CreatorKind
from domain.approvals import ApprovalPolicy, Person, check_approver, is_approved
from domain.clients import ClientKind
from domain.errors import ForbiddenError
from domain.lifecycle import EnvironmentName
from domain.permissions import Role, Scope, permissions_of
from domain.rollout_options import RolloutOptions
from runtime.ids import new_id, now
from runtime.trusted_issuers import TrustedIssuer
from storage.engine import transaction
from storage.models import ApiKey, Client, Operation
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


@pytest.mark.parametrize(
    ("more", "email"),
    [
        ({"email": "Ada@example.com"}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": True}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": False}, ""),
        ({"email": "ada@example.com", "email_verified": "false"}, ""),
        ({"email": "no address"}, ""),
        ({}, ""),
    ],
)
def test_an_address_that_the_issuer_itself_calls_unproven_tells_nobody_apart(more, email):
    claims = {"sub": "s", ISSUER.role_claim: "release_manager", ISSUER.organization_claim: str(new_id()), **more}
    assert outside_principal(claims, ISSUER).email == email


@pytest.mark.parametrize("name", ["mailbox", "machine"])
def test_an_issuer_has_no_name_that_stands_for_something_of_ours(name):
    with pytest.raises(ValueError, match="choose another name"):
        TrustedIssuer.model_validate({**ISSUER.model_dump(), "name": name})


def outside(fresh, subject: str, email: str = "") -> Principal:
    """Somebody of another issuer, in the organization."""
    return Principal(
        subject, UUID(fresh.org["id"]), Role.ADMIN, permissions_of(Role.ADMIN), f"user:{subject}", email=email
    )


FOUR_EYES = ApprovalPolicy()


def is_second(requester, approver) -> bool:
    try:
        check_approver(FOUR_EYES, requested_by=requester, approved_by=[], approver=approver)
    except ForbiddenError:
        return False
    return is_approved(FOUR_EYES, [approver], requested_by=requester)


async def test_a_human_with_an_account_and_a_token_of_another_issuer_is_one(fresh, rows, admin, platform, caller):
    """Without an address nobody can tell; with one the mailbox tells."""
    org, email = fresh.org["id"], f"{new_id()}@example.com"
    ada = (await joined(platform, org, email, "release_manager"))["id"]
    ben = (await joined(platform, org, f"{new_id()}@example.com", "release_manager"))["id"]

    def local(subject):
        return Principal(subject, UUID(org), Role.RELEASE_MANAGER, permissions_of(Role.RELEASE_MANAGER))

    async with transaction(rows) as session:

        async def person(principal):
            return await person_of(session, principal, UUID(org))

        named, nameless = outside(fresh, "corp:1", email), outside(fresh, "corp:2")
        assert not is_second(await person(named), await person(local(ada)))
        assert is_second(await person(named), await person(local(ben)))
        assert is_second(await person(local(ben)), await person(named))
        assert not is_second(await person(local(ada)), await person(named))
        for other in (local(ada), local(ben), outside(fresh, "corp:3"), named):
            assert not is_second(await person(nameless), await person(other))
            assert not is_second(await person(other), await person(nameless))


async def test_what_somebody_of_another_issuer_made_is_theirs(fresh, rows, admin, platform, caller):
    """A key, a service account, and an account made by an invitation's link named the foreign subject alone."""
    org, email = UUID(fresh.org["id"]), f"{new_id()}@example.com"
    ada = (await joined(platform, fresh.org["id"], email, "admin"))["id"]
    scopes = frozenset({Scope.DEPLOYMENTS_APPROVE, Scope.DEPLOYMENTS_READ})
    for subject, given, known in (("corp:ada", email, True), ("corp:nobody", "", False)):
        maker = outside(fresh, subject, given)
        async with transaction(rows) as session:
            issued = await issue(session, maker, org, Wanted("k", scopes, None, None))
            row = Client(
                id=new_id(), organization_id=org, kind=ClientKind.SERVICE_ACCOUNT, name="CI", created_by=subject
            )
            row.role, row.scopes = "release_manager", sorted(scopes)
            await Clients(session, maker, org, ClientKind.SERVICE_ACCOUNT).add(row, confidential=True, most=100)
        async with transaction(rows) as session:
            by_key = await ApiKeyCache(rows).principal(issued.key)
            account = Principal(str(row.id), org, Role.RELEASE_MANAGER, permissions_of(Role.RELEASE_MANAGER))
            mine = await person_of(session, Principal(ada, org, Role.ADMIN, permissions_of(Role.ADMIN)), org)
            for made in (by_key, account):
                person = await person_of(session, made, org)
                assert person.unknown is not known
                assert not is_second(person, mine)
                assert not is_second(mine, person)


async def test_a_key_that_a_machine_of_another_issuer_made_long_ago_approves_nothing(fresh, rows, approvals, caller):
    """Such keys were stored as any foreign subject's, before machines were told apart."""
    org = UUID(fresh.org["id"])
    async with transaction(rows) as session:
        issued = await issue(
            session, outside(fresh, "corp:ci"), org, Wanted("k", frozenset({Scope.DEPLOYMENTS_APPROVE}), None, None)
        )
        key = await session.get(ApiKey, issued.id)
        assert key.creator_kind == CreatorKind.EXTERNAL
    by_key = caller(Role.RELEASE_MANAGER, fresh.org["id"])
    by_key.http.headers.pop("Authorization")
    told = await approvals(by_key, headers={"X-API-Key": issued.key})
    assert told.unknown
    for requester in (Person(actor="ann"), Person(actor="corp:9", unknown=True)):
        assert not is_second(requester, told.person)


async def test_who_is_not_known_says_no_yes_of_their_own_either(fresh, rows):
    """Where four eyes are not wanted, who asks and may approve counts as the first of two."""
    two, one = ApprovalPolicy(min_approvals=2, four_eyes=False), ApprovalPolicy(four_eyes=False)
    wanted = DeploymentRequest(EnvironmentName.DEV, RolloutOptions(), approval_notes="fine")
    async with transaction(rows) as session:
        for who, policy, counts in (
            (outside(fresh, "corp:1"), two, False),
            (outside(fresh, "corp:1"), one, True),
            (outside(fresh, "corp:1", "a@example.com"), two, True),
            (replace(outside(fresh, "corp:ci", "a@example.com"), is_foreign_machine=True), one, False),
        ):
            requester = await person_of(session, who, UUID(fresh.org["id"]))
            assert required_approval(wanted, who, policy, requester).approvers == ((requester,) if counts else ())


async def test_an_admins_key_beside_the_same_admins_token_is_one_principal(fresh, platform):
    """A platform admin's token names no organization, and a key always one."""
    keys = f"/organizations/{fresh.org['id']}/api-keys"
    made = await platform.made(keys, {"name": "k", "scopes": ["projects:read"]})
    answer = await platform.get(f"/projects/{fresh.project['id']}", headers={"X-API-Key": made["key"]})
    assert answer.status_code == 200, answer.text
    assert (await platform.post("/organizations", {}, headers={"X-API-Key": made["key"]})).status_code == 403
