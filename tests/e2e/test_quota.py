"""An organization that has all it may have: it is told so, goes back to a version before, and nobody else notices."""

import pytest

from tests.support.platform import ROOM
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(600)]

SETTING = "DELIVERY_INSTANCE_MEMORY_MB_PER_ORGANIZATION"
LIMIT_MB, ONE_MB = int(ROOM[SETTING]), int(ROOM["DELIVERY_INSTANCE_MEMORY_MB"])
# Instances that fill an organization.
FULL = LIMIT_MB // ONE_MB


# A busy machine takes long to start Python.
PATIENT = {"health": {"startup_timeout": 90}}


def large(replicas: int) -> dict[str, object]:
    return {"service": {**PATIENT, "memory_mb": ONE_MB, "replicas": replicas}}


@pytest.mark.deep
def test_a_full_organization_can_go_back_and_others_deploy(platform, records):
    crowded = platform.api.create_organization("crowded")
    app = platform.app("one-large", organization=crowded)
    first, second = app.ship_good(spec=large(1)), app.ship_good(spec=large(1))

    def are_gone() -> bool:
        counted = "SELECT count(*) AS number FROM instances WHERE release_id = %s"
        return records.all(counted, first.deployment["id"])[0]["number"] == 0

    until(are_gone, "the end of the first version", 120)
    platform.app("three-large", organization=crowded).ship_good(spec=large(FULL - 1))

    refused = platform.app("one-too-many", organization=crowded).ship(spec=large(1)).error
    assert refused["code"] == "QUOTA_EXCEEDED"
    assert f"{LIMIT_MB} MiB of memory" in refused["message"]
    assert "less `service.memory_mb`" in refused["message"]
    assert SETTING in refused["message"]
    assert platform.app("roomy").ship_good(spec={"service": PATIENT}).succeeded, "another organization"

    assert app.service.version() == second.version
    app.api.rollback(second.deployment["id"], "as it was")
    until(lambda: app.service.version() == first.version, "the way back", 120)
