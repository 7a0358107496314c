"""Bodies whose shape alone costs: very many fields, deep nesting, endless numbers. Each is refused in few words."""

import json

import pytest
from pydantic import ValidationError

from api.app import create_app
from api.schemas.base import Body
from domain.environment_settings import ApprovalRule
from domain.windows import Window

assert create_app  # whose import makes all of them


def bodies(of: type[Body] = Body) -> list[type]:
    return [found for below in of.__subclasses__() for found in (below, *bodies(below))]


@pytest.mark.parametrize("model", [*bodies(), Window, ApprovalRule], ids=lambda model: model.__name__)
def test_very_many_unknown_fields_are_one_fault(model):
    """80,000 unknown fields held the API for 2 s."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate({f"field{number}": 1 for number in range(80_000)})
    assert caught.value.error_count() == 1


BODIES_AS_TEXT = {
    "deep lists": "[" * 300_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep inside": '{"name":' + "[" * 300_000 + "]" * 300_000 + "}",
    "digits": '{"name":' + "9" * 500_000 + "}",
    "many digits": '{"name":[' + ",".join(["9" * 4000] * 200) + "]}",
    "exponent": '{"name":1e999999999}',
    "fields": json.dumps({f"field{number}": 1 for number in range(50_000)}),
}


@pytest.mark.parametrize("body", BODIES_AS_TEXT.values(), ids=BODIES_AS_TEXT)
async def test_bodies_that_would_cost_are_refused(world, body):
    path = f"/projects/{world.project['id']}/environments/dev"
    response = await world.manager.http.patch(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text[:500]
    assert response.json()["error"]["code"] == "VALIDATION_ERROR"
    assert len(response.content) < 20_000
