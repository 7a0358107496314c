"""A 202 is kept, whatever is away at the moment it is given; and one key means one operation."""

import time

import pytest

from tests.chaos.frozen import frozen
from tests.chaos.invariants import settled
from tests.chaos.watching import await_end

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ANSWER_SECONDS = 2.0


def ask(app, version, key=None):
    """One POST; returns its answer and the seconds it took."""
    body = {"version_tag": version, "git_branch": "main", "environment": "dev", "deployment_strategy": "blue_green"}
    headers = {"idempotency-key": key} if key else {}
    began = time.monotonic()
    answer = app.api.raw("POST", f"/v1/features/{app.feature['id']}/build-and-deploy", json=body, headers=headers)
    return answer, time.monotonic() - began


def test_what_was_accepted_while_temporal_hangs_completes_once(platform, records):
    apps = [platform.app(f"promised{number}") for number in range(3)]
    for app in apps:
        app.repository.commit("1.0.0", files={"delivery.yaml": app.spec()})
    with frozen(records, "temporal"):
        answers = [ask(app, "1.0.0", key=f"promise-{app.project['id']}") for app in apps]
        again, _ = ask(apps[0], "1.0.0", key=f"promise-{apps[0].project['id']}")
        other, _ = ask(apps[0], "1.0.1", key=f"promise-{apps[0].project['id']}")
    assert [answer.status_code for answer, _ in answers] == [202, 202, 202]
    assert max(seconds for _, seconds in answers) < ANSWER_SECONDS
    operations = [answer.json()["data"]["operation_id"] for answer, _ in answers]
    assert again.status_code == 202
    assert again.json()["data"]["operation_id"] == operations[0]
    assert other.status_code == 422

    ends = [await_end(records, operation_id, 180) for operation_id in operations]
    assert [end["status"] for end in ends] == ["completed"] * 3
    for app in apps:
        assert settled(records, str(app.project["id"])) == []
        assert app.service.version() == "1.0.0"
        assert len(records.all("SELECT id FROM operations WHERE project_id = %s", app.project["id"])) == 1
