"""Ids of workflows: people read their beginning, programs their end."""

import re
from urllib.parse import quote, unquote
from uuid import UUID, uuid4

import pytest

from contracts.names import (
    bare_workflow_id,
    environment_workflow_id,
    operation_of,
    readable_workflow_id,
    webhook_delivery_workflow_id,
)

ONE = UUID("01930000-0000-7000-8000-00000000abcd")


def test_an_id_begins_with_what_reads_and_ends_with_the_operation() -> None:
    assert readable_workflow_id(ONE, "acme", "shop", "production", "1.4.0") == f"acme/shop/production/1.4.0/{ONE}"


@pytest.mark.parametrize(
    "part",
    ["a" * 255, "1.0.0-rc.1+build.5", "..", ".", "", "a/b", "ä ö'\"%2F\\\n", "x" * 40 + "/" + "y", "日本"],
    ids=repr,
)
def test_whatever_stands_in_a_part_the_id_is_bounded_plain_and_names_its_operation(part: str) -> None:
    made = readable_workflow_id(ONE, *[part] * 4)
    assert len(made) < 255
    assert operation_of(made) == ONE
    parts = made.split("/")
    assert len(parts) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", each) and each not in (".", "..") for each in parts)
    assert unquote(quote(made, safe="")) == made


def test_an_id_of_before_names_its_operation_too() -> None:
    assert operation_of(bare_workflow_id(ONE)) == ONE


@pytest.mark.parametrize(
    "workflow_id",
    [
        None,
        "",
        "anything",
        environment_workflow_id(ONE),
        webhook_delivery_workflow_id(ONE),
        f"acme/{ONE}/",
        f"acme/{str(ONE).upper()}",
        f"acme/{ONE.hex}",
        f"acme/{{{ONE}}}",
    ],
)
def test_other_ids_name_no_operation(workflow_id: str | None) -> None:
    assert operation_of(workflow_id) is None


def test_two_operations_of_the_same_names_have_two_ids() -> None:
    assert len({readable_workflow_id(uuid4(), "acme", "shop", "dev", "1.0.0") for _ in range(2)}) == 2
