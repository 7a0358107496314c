"""Secrets on their way to a service: referred to by its release, opened when it starts, masked in what it says."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instance_room import InstanceRoom
from activities.instances import InstanceActivities, InstanceStopper
from activities.probes import Probe
from activities.recovery import InstanceRecovery
from activities.secrets import ProjectSecrets
from contracts.rollouts import AwaitHealthy, OpenRelease, StartInstances
from domain.ceilings import DEFAULT_CEILING
from domain.delivery_spec import HealthSpec, ServiceSpec
from domain.errors import DependencyError, TerminalError
from domain.masking import masked
from domain.shares import Share
from drivers.targets.base import InstancePhase, InstanceSpec, InstanceStatus
from runtime.encryption import KEY_BYTES, Sealer
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Deployment, Release, Secret
from storage.sealed import secret_context
from tests.activities.conftest import History, release_activities

SEALER = Sealer([b"k" * KEY_BYTES])


def planted_secret(found: History, *, name: str = "DATABASE_URL", value: str = "db://p1anted", **more: Any) -> Secret:
    """A project's secret, which is in no row yet."""
    row = Secret(
        id=new_id(),
        organization_id=found.organization_id,
        project_id=found.project_id,
        **{"name": name, "kind": "service_env", "created_by": "me", **more},
    )
    row.sealed_value = SEALER.seal(value.encode(), secret_context(row.id))
    return row


@pytest.fixture
def secrets(sessions):
    return ProjectSecrets(sessions, SEALER)


@pytest.fixture
def add(sessions):
    """Gives a project a secret."""

    async def run(found, name, value, **more) -> UUID:
        row = planted_secret(found, name=name, value=value, **more)
        async with transaction(sessions) as session:
            session.add(row)
        return row.id

    return run


@pytest.fixture
def open_release(sessions):
    """Opens a release of a build that was live before, deployed once more."""

    async def run(found, *needed: str) -> UUID:
        deployment = new_id()
        async with transaction(sessions) as session:
            like = await session.get_one(Deployment, found.releases[0])
            columns = {c.key: getattr(like, c.key) for c in like.__table__.columns}
            session.add(Deployment(**{**columns, "id": deployment}))
        request = OpenRelease(
            place=found.place(deployment),
            build_id=found.builds[0],
            artifact_digest="sha256:00",
            service=ServiceSpec(command="serve", secrets=needed, health=HealthSpec(interval=0.05)),
        )
        return (await ActivityEnvironment().run(release_activities(sessions, None).open, request)).release.release_id

    return run


async def variables(sessions, secrets, release_id) -> dict[str, str]:
    async with transaction(sessions) as session:
        return await secrets.of_release(session, await session.get_one(Release, release_id))


async def test_a_release_refers_to_its_secrets_and_holds_no_values(*, history, add, open_release, sessions, secrets):
    found, other = await history(1), await history(1)
    await add(other, "A", "not mine")
    first = await add(found, "A", "everywhere")
    mine = await add(found, "A", "here", environment="dev", version=3)
    await add(found, "A", "elsewhere", environment="production")
    await add(found, "GIT", "token", kind="git_https_token")
    release = await open_release(found, "A")
    async with transaction(sessions) as session:
        row = await session.get_one(Release, release)
        assert row.secrets == [{"name": "A", "id": str(mine), "version": 3}]
        assert first != mine
    assert await variables(sessions, secrets, release) == {"A": "here"}


async def test_a_secret_that_is_missing_is_named_before_anything_is_opened(history, add, open_release, sessions):
    found = await history(1)
    await add(found, "HERE", "x")
    await add(found, "ELSEWHERE", "x", environment="production")
    with pytest.raises(ApplicationError) as refused:
        await open_release(found, "HERE", "ELSEWHERE", "NOWHERE")
    assert refused.value.type == "SECRET_MISSING"
    assert "secrets ELSEWHERE, NOWHERE" in refused.value.message
    assert "in dev" in refused.value.message


async def test_what_starts_later_gets_the_newest_value_and_not_what_was_deleted(
    *, history, add, open_release, sessions, secrets
):
    found = await history(1)
    kept, gone = await add(found, "KEPT", "one"), await add(found, "GONE", "x")
    tolerant, strict = await open_release(found, "KEPT"), await open_release(found, "GONE")
    async with transaction(sessions) as session:
        sealed = SEALER.seal(b"two", secret_context(kept))
        await session.execute(update(Secret).where(Secret.id == kept).values(sealed_value=sealed, version=2))
        await session.delete(await session.get_one(Secret, gone))
    assert await variables(sessions, secrets, tolerant) == {"KEPT": "two"}
    with pytest.raises(TerminalError, match="secret GONE"):
        await variables(sessions, secrets, strict)


async def test_a_value_moved_from_another_row_does_not_open(history, add, open_release, sessions, secrets):
    found = await history(1)
    mine, other = await add(found, "MINE", "one"), await add(found, "OTHER", "two")
    release = await open_release(found)
    async with transaction(sessions) as session:
        (await session.get_one(Secret, mine)).sealed_value = (await session.get_one(Secret, other)).sealed_value
    with pytest.raises(DependencyError, match="moved from another row"):
        await variables(sessions, secrets, release)


async def test_a_kept_release_does_not_come_back_with_an_old_secret(history, add, open_release, sessions):
    found = await history(1)
    secret = await add(found, "A", "one")
    first = await open_release(found)
    await _keep(sessions, first)
    assert await open_release(found) == first
    await _keep(sessions, first)
    async with transaction(sessions) as session:
        (await session.get_one(Secret, secret)).version = 2
    assert await open_release(found) != first


async def _keep(sessions, release_id) -> None:
    """As if it had been stable, and were kept for a while."""
    async with transaction(sessions) as session:
        row = await session.get_one(Release, release_id)
        row.state, row.was_healthy, row.stop_after = "retired", True, now() + timedelta(minutes=5)


class Talkative:
    """A target whose instances get what they are given, tell it, and die."""

    def __init__(self) -> None:
        self.started: list[InstanceSpec] = []

    async def start(self, spec: InstanceSpec, **_: object) -> InstanceStatus:
        self.started.append(spec)
        return InstanceStatus(spec.instance_id, spec.release_id, InstancePhase.RUNNING, port=20000)

    async def inspect(self, instance_id: str) -> InstanceStatus:
        return InstanceStatus(instance_id, "", InstancePhase.BACKOFF, restarts=3, exit_code=1)

    async def log_tail(self, instance_id: str, max_bytes: int = 4096) -> str:
        [spec] = self.started
        return f"cannot connect to {spec.secrets['URL']}\n"


class NeverAsked:
    async def instance(self, *_arguments: object) -> Probe:
        raise AssertionError("nothing listens")


async def test_a_dying_service_that_prints_its_secret_does_not_tell_it_to_the_history(
    *, history, add, open_release, sessions, secrets
):
    found = await history(1)
    await add(found, "URL", "db://p1anted")
    release, target = await open_release(found, "URL"), Talkative()
    activities = InstanceActivities(
        sessions=sessions,
        secrets=secrets,
        target=target,
        prober=NeverAsked(),
        stopper=InstanceStopper(sessions, target, None, None),
        recovery=InstanceRecovery(sessions=sessions, secrets=secrets, target=target, writer=None),
        room=InstanceRoom(Share(10, 10_240, 102_400), DEFAULT_CEILING),
    )
    environment = ActivityEnvironment()
    await environment.run(activities.start, StartInstances(release_id=release, count=1))
    assert target.started[0].secrets == {"URL": "db://p1anted"}
    assert "p1anted" not in repr(target.started)
    with pytest.raises(ApplicationError) as died:
        await environment.run(activities.await_healthy, AwaitHealthy(release_id=release, count=1))
    assert died.value.type == "INSTANCE_EXITED"
    assert "cannot connect to ***" in died.value.message
    assert "p1anted" not in repr(died.value.details)


def test_masking_takes_the_longest_first_and_lines_of_keys_but_no_common_words():
    text = "a token-and-more, a token, one line: second line; yes"
    assert masked(text, ["token", "token-and-more", "first\nsecond line", "yes"]) == "a ***, a ***, one line: ***; yes"


async def test_builds_know_where_the_token_goes(history, add, secrets):
    found = await history(1)
    assert await secrets.of_source(found.project_id) == await secrets.of_source(new_id())
    await add(found, "GIT", "ann:ghp_1", kind="git_https_token", host="git.example.com")
    await add(found, "KEY", "a key", kind="git_ssh_key")
    opened = await secrets.of_source(found.project_id)
    assert (opened.token_host, opened.user, opened.token) == ("git.example.com", "ann", "ghp_1")
    assert (opened.ssh_key, opened.known_hosts) == ("a key", "")
