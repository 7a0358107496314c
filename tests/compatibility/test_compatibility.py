"""The check itself can fail: on documents with a change in them."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.compatibility.__main__ import NOW, compare

Json = dict[str, Any]
PATHS = ("/builds/{build_id}", "/organizations", "/organizations/{org_id}/projects", "/projects/{project_id}")


def without_a_route(document: Json) -> None:
    del document["paths"]["/builds/{build_id}"]


def without_a_field(document: Json) -> None:
    del document["components"]["schemas"]["Project"]["properties"]["visibility"]


def with_a_new_demand(document: Json) -> None:
    document["components"]["schemas"]["ProjectCreate"]["required"].append("description")


def with_more(document: Json) -> None:
    """A new route, and a new field of an answer."""
    document["paths"]["/more"] = copy.deepcopy(document["paths"]["/organizations"])
    document["components"]["schemas"]["Project"]["properties"]["more"] = {"type": "string", "maxLength": 9}
    document["components"]["schemas"]["Project"]["required"].append("more")


@pytest.mark.parametrize(
    ("change", "code"),
    [(without_a_route, 1), (without_a_field, 1), (with_a_new_demand, 1), (with_more, 0)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_breaks_a_client_is_found_and_what_does_not_is_let_pass(change: Callable[[Json], None], code, tmp_path):
    document = json.loads(NOW.read_text())
    document["paths"] = {path: document["paths"][path] for path in PATHS}  # the whole takes longer
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(document))
    change(document)
    after.write_text(json.dumps(document))
    assert compare(before, after) == code
