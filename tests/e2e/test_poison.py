"""One tenant's poison stops nobody else: neither what the file says, nor what stands in the database already."""

import itertools
import os
import signal
from typing import Any, cast

import httpx2
import pytest
from psycopg.types.json import Jsonb

from examples.repository import ServiceRepository
from runtime.stack import orphans
from tests.chaos.records import Records
from tests.support.facts import facts
from tests.support.platform import OPERATION_SECONDS, App, Platform
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(420)]


NUMBERS = itertools.count(1)


class Elsewhere:
    """The same stack, seen from another organization."""

    def __init__(self, platform: Platform, name: str) -> None:
        self._platform = platform
        self.organization = platform.api.create_organization(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)


def application(platform: Platform, name: str) -> App:
    """In an organization of its own."""
    slug = f"{name}-{next(NUMBERS)}"
    folder = platform.stack.data_dir.parent / "repositories" / slug
    return App(cast("Platform", Elsewhere(platform, slug)), slug, ServiceRepository(folder, "hello-python"))


@pytest.fixture(scope="module")
def neighbour(platform: Platform) -> App:
    """An application of another organization, with a good version in `dev`."""
    app = application(platform, "neighbour")
    app.ship_good()
    return app


@pytest.fixture
def attacker(platform: Platform) -> App:
    return application(platform, "attacker")


def ships_and_rolls_back(app: App) -> None:
    """A deployment works, and so does its rollback."""
    before = app.service.version()
    shipped = app.ship_good()
    assert app.service.version() == shipped.version
    done = app.api.wait(app.api.rollback(shipped.deployment["id"], "it works")["operation_id"], OPERATION_SECONDS)
    assert done["status"] == "completed", done
    assert app.service.version() == before


@pytest.mark.parametrize(
    "path",
    [
        "/health check",
        pytest.param("/health\u00a0check", marks=pytest.mark.deep),
        pytest.param("/healthz\n", marks=pytest.mark.deep),
    ],
)
def test_a_path_that_the_router_refuses_is_refused_in_the_file(attacker: App, neighbour: App, path: str) -> None:
    error = attacker.ship(spec={"service": {"health": {"path": path}}}).error
    assert error["code"] == "SPEC_INVALID"
    (fault,) = facts(error)["faults"]
    assert (fault["file"], fault["key"]) == ("delivery.yaml", "service.health.path")
    assert fault["line"] > 1
    ships_and_rolls_back(neighbour)


@pytest.fixture
def poisoned(attacker: App, records: Records) -> App:
    """Its live release is one from before the rule: its health path has a space, in the database."""
    attacker.ship_good()
    _poison(records, attacker)
    return attacker


def _poison(records: Records, app: App) -> None:
    environment = records.environment(app.project["id"])
    changed = records.all(
        """UPDATE releases SET service = jsonb_set(service, '{health,path}', '"/health check"')
        WHERE id = %s RETURNING id""",
        environment["current_release_id"],
    )
    assert len(changed) == 1


@pytest.mark.deep
def test_poison_in_the_database_leaves_everybody_else_alone_through_restarts_and_removal(
    *, platform: Platform, poisoned: App, neighbour: App, records: Records
) -> None:
    version = poisoned.service.version()
    ships_and_rolls_back(neighbour)
    assert poisoned.service.version() == version  # it keeps what it had
    records.close()
    platform.restart()
    until(neighbour.serves, "serving again", 180)
    ships_and_rolls_back(neighbour)
    instances = "SELECT i.id FROM instances i JOIN releases r ON r.id = i.release_id WHERE r.environment_id = %s"
    environment = records.environment(poisoned.project["id"])
    assert poisoned.api.raw("DELETE", f"/v1/projects/{poisoned.project['id']}").status_code == httpx2.codes.NO_CONTENT
    until(lambda: not records.all(instances, environment["id"]), "the end of its instances", 180)
    routes = "SELECT 1 FROM routes WHERE environment_id = %s"
    until(lambda: not records.all(routes, environment["id"]), "the end of its routes", 180)
    ships_and_rolls_back(neighbour)


def test_a_poisoned_build_from_before_the_rule_fails_with_its_owners_words_only(
    *, platform: Platform, attacker: App, neighbour: App, records: Records
) -> None:
    shipped = attacker.ship_good()
    build = shipped.deployment["build_id"]
    records.all(
        """UPDATE builds SET spec = jsonb_set(spec, '{service,health,path}', '"/health check"')
        WHERE id = %s RETURNING id""",
        build,
    )
    accepted = attacker.api.deploy(build, environment="staging")
    operation = attacker.api.wait(accepted.operation_id, OPERATION_SECONDS)
    assert operation["error"]["code"] == "SPEC_INVALID", operation
    assert "service.health.path" in operation["error"]["message"]
    ships_and_rolls_back(neighbour)


@pytest.mark.deep
def test_envoys_files_lost_and_envoy_killed_every_host_serves_again_without_a_change(
    platform: Platform, neighbour: App, records: Records
) -> None:
    version = neighbour.service.version()
    config = platform.stack.data_dir / "envoy"
    for path in [path for path in config.iterdir() if path.suffix == ".json"]:
        path.unlink()
    killed = orphans.running(records.layout)["envoy"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: orphans.running(records.layout).get("envoy", killed) != killed, "another Envoy", 180)
    until(lambda: neighbour.serves(version), "serving again", 180)


@pytest.mark.long
def test_envoys_files_lost_while_down_every_host_serves_after_up(platform: Platform, neighbour: App) -> None:
    version = neighbour.service.version()
    platform.close_connections()
    platform.stack.down()
    for path in [p for p in (platform.stack.data_dir / "envoy").iterdir() if p.suffix == ".json"]:
        path.unlink()
    platform.start()
    until(lambda: neighbour.serves(version), "serving again", 180)


@pytest.mark.long
def test_a_database_restored_to_a_lower_generation_is_applied(
    platform: Platform, neighbour: App, records: Records
) -> None:
    """As after a restore: the record tells an older table, and Envoy's files a newer one."""
    generation = records.one("SELECT generation FROM routing_generation")["generation"]
    environment = records.environment(neighbour.project["id"])
    records.all("UPDATE routing_generation SET generation = 1 RETURNING 1")
    (route,) = records.all("DELETE FROM routes WHERE environment_id = %s RETURNING *", environment["id"])
    until(lambda: not neighbour.serves(times=1), "the older table", 180)
    assert generation > 1
    records.all(
        "INSERT INTO routes (environment_id, host, targets, generation) VALUES (%s, %s, %s, 2) RETURNING 1",
        route["environment_id"],
        route["host"],
        Jsonb(route["targets"]),
    )
    records.all("UPDATE routing_generation SET generation = 2 RETURNING 1")
    until(neighbour.serves, "serving again", 180)
    ships_and_rolls_back(neighbour)
