"""What the SDKs are made from: each operation has one name, and what it gives back is known."""

import pytest

from api.openapi.sdk_names import SDK_NAMES
from sdks.generate.description import Answer, read


@pytest.fixture(scope="module")
def api():
    return read()


def test_each_operation_has_a_name_and_no_name_is_of_nothing(api):
    assert {method.operation_id: f"{method.resource}.{method.name}" for method in api.methods} == dict(SDK_NAMES)


def test_what_is_not_text_has_a_model(api):
    modelled = {Answer.MODEL, Answer.PAGE, Answer.OPERATION}
    assert [
        method.operation_id for method in api.methods if (method.answer in modelled) != (method.model is not None)
    ] == []
