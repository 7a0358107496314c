"""A deleted project's services leave the real stack; restored, it can be deployed again."""

import os
import signal
import threading
from contextlib import contextmanager

import httpx2
import pytest

from examples.client import ApiError
from runtime.stack import orphans
from tests.chaos.invariants import settled
from tests.support.facts import facts
from tests.support.platform import OPERATION_SECONDS
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

GONE_SECONDS = 180.0


@pytest.fixture(scope="module")
def app(platform):
    made = platform.app("leaving")
    made.ship_good(spec={"service": {"replicas": 2}})
    return made


def delete(app):
    response = app.api.raw("DELETE", f"/v1/projects/{app.project['id']}")
    assert (response.status_code, response.content) == (204, b""), response.text


def restore(app):
    restored = app.api.call("POST", f"/projects/{app.project['id']}/restore")
    assert restored["status"] == "active"


def all_gone(records, app) -> bool:
    """No route, no process, no row of an instance; every release over."""
    environment = records.environment(app.project["id"])
    left = records.all(
        """SELECT r.id FROM releases r LEFT JOIN instances i ON i.release_id = r.id
        WHERE r.environment_id = %s AND (i.id IS NOT NULL OR r.state NOT IN ('stopped', 'failed'))""",
        environment["id"],
    )
    return not left and not records.shims(environment["id"]) and records.envoy_route(environment["host"]) is None


def redeployed(app):
    deployments = app.api.call("GET", f"/projects/{app.project['id']}/deployments")
    accepted = app.api.deploy(deployments[0]["build_id"])
    operation = app.api.wait(accepted.operation_id, OPERATION_SECONDS)
    assert operation["status"] == "completed", operation


def test_its_host_is_404_its_processes_are_gone_and_restored_it_serves_again(app, records):
    version = app.service.version()
    delete(app)
    until(lambda: app.service.get("/version").status_code == 404, "a 404", GONE_SECONDS)
    until(lambda: all_gone(records, app), "the end of everything", GONE_SECONDS)
    with pytest.raises(ApiError, match="the project is deleted"):
        app.begin()
    restore(app)
    assert app.service.get("/version").status_code == 404
    assert all_gone(records, app)
    redeployed(app)
    assert app.service.version() == version
    assert settled(records, app.project["id"]) == []


@contextmanager
def asking(service):
    """Somebody who asks again and again; yields the growing list of what was answered."""
    user, seen, over = service.user(), [], threading.Event()

    def ask():
        while not over.is_set():
            try:
                seen.append(user.get("/version").status_code)
            except httpx2.HTTPError as error:
                seen.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        user.close()


@pytest.mark.deep
def test_requests_under_way_are_answered(app, records):
    """Until the route is gone every request is answered by the service, then every one by the router's 404."""
    with asking(app.service) as seen:
        until(lambda: len(seen) > 20, "some answers")
        delete(app)
        until(lambda: all_gone(records, app), "the end of everything", GONE_SECONDS)
        until(lambda: seen[-1] == 404, "a 404")
    assert set(seen[: seen.index(404)]) == {200}
    assert set(seen[seen.index(404) :]) == {404}
    restore(app)
    redeployed(app)


@pytest.mark.deep
def test_a_killed_worker_leaves_nothing_behind(app, records):
    os.kill(orphans.running(records.layout)["worker"], signal.SIGKILL)
    delete(app)
    until(lambda: all_gone(records, app), "the end of everything", GONE_SECONDS)
    assert app.service.get("/version").status_code == 404


def test_one_with_operations_under_way_stays(platform):
    app = platform.app("staying")
    begun = app.begin()
    response = app.api.raw("DELETE", f"/v1/projects/{app.project['id']}")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "CONFLICT")
    assert facts(response.json()["error"])["operation_ids"] == [begun.accepted.operation_id]
    assert app.api.wait(begun.accepted.operation_id, OPERATION_SECONDS)["status"] == "completed"
    assert app.service.version() == begun.version
