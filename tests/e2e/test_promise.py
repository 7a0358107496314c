"""A 202 is kept, whatever is away at the moment it is given; and one key means one operation."""

import pytest

from tests.chaos.frozen import frozen
from tests.chaos.invariants import settled
from tests.chaos.watching import await_end

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def ask(app, version, key):
    """One POST under an idempotency key."""
    body = {"version_tag": version, "git_branch": "main", "environment": "dev", "deployment_strategy": "blue_green"}
    headers = {"idempotency-key": key}
    return app.api.raw("POST", f"/v1/features/{app.feature['id']}/build-and-deploy", json=body, headers=headers)


@pytest.mark.deep
def test_what_was_accepted_while_temporal_hangs_completes_once(platform, records):
    apps = [platform.app(f"promised{number}") for number in range(3)]
    for app in apps:
        app.repository.commit("1.0.0", files={"delivery.yaml": app.spec()})
    with frozen(records, "temporal"):  # until everybody has an answer, which no answer can wait for
        answers = [ask(app, "1.0.0", key=f"promise-{app.project['id']}") for app in apps]
        again = ask(apps[0], "1.0.0", key=f"promise-{apps[0].project['id']}")
        other = ask(apps[0], "1.0.1", key=f"promise-{apps[0].project['id']}")
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    operations = [answer.json()["data"]["operation_id"] for answer in answers]
    assert again.status_code == 202
    assert again.json()["data"]["operation_id"] == operations[0]
    assert other.status_code == 422

    ends = [await_end(records, operation_id, 180) for operation_id in operations]
    assert [end["status"] for end in ends] == ["completed"] * 3
    for app in apps:
        assert settled(records, str(app.project["id"])) == []
        assert app.service.version() == "1.0.0"
        assert len(records.all("SELECT id FROM operations WHERE project_id = %s", app.project["id"])) == 1
