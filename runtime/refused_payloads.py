"""What becomes of a payload that did not come from us: not encrypted although we encrypt, or changed on its way.

The codec puts a mark in its place, and whoever wants its value fails: a start and a query fail, an update is rejected,
a signal is dropped, an activity is not run. An error of the codec itself would be one of the whole workflow task, which
is tried again for ever: one strange signal, and the workflow would stand still.
"""

from typing import Any, Final, NoReturn

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadConverter,
)
from temporalio.exceptions import ApplicationError

TYPE: Final = "PAYLOAD_REFUSED"
WORDS: Final = "a payload is not encrypted with our keys, or was changed: it did not come from this engine"
_ENCODING: Final = "binary/refused"
# Failures that the server itself makes, in the clear, whose type we ask for.
_BY_SERVER: Final = frozenset({"AcceptedUpdateCompletedWorkflow"})


def refused() -> Payload:
    """The mark."""
    return Payload(metadata={"encoding": _ENCODING.encode()})


def is_refused(payload: Payload) -> bool:
    """Whether it is the mark."""
    return payload.metadata.get("encoding") == _ENCODING.encode()


class GuardedPayloads(CompositePayloadConverter):
    """Pydantic models; the mark has no value."""

    def __init__(self) -> None:
        super().__init__(*PydanticPayloadConverter().converters.values(), _Mark())


class _Mark(EncodingPayloadConverter):
    @property
    def encoding(self) -> str:
        return _ENCODING

    def to_payload(self, value: Any) -> Payload | None:
        """Nothing becomes a mark here."""
        del value
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:
        """Raise what ends a workflow, or an update, and not only one attempt at it."""
        del payload, type_hint
        raise ApplicationError(WORDS, type=TYPE, non_retryable=True)


class GuardedFailures(DefaultFailureConverterWithEncodedAttributes):
    """Moves the words of failures into an encoded payload, and believes none that stand elsewhere."""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The failure; of one that was not encrypted, or with marks in it, only that there was one."""
        if failure.HasField("application_failure_info") and not _is_ours(failure):
            failure = _without_words(failure)
        return super().from_failure(failure, payload_converter)


def _is_ours(failure: Failure) -> bool:
    sealed = failure.HasField("encoded_attributes") and not is_refused(failure.encoded_attributes)
    return sealed and not any(map(is_refused, failure.application_failure_info.details.payloads))


def _without_words(failure: Failure) -> Failure:
    bare = Failure()
    bare.CopyFrom(failure)
    info = bare.application_failure_info
    bare.message, bare.stack_trace = "a failure that was not encrypted, so its words are not shown", ""
    bare.ClearField("encoded_attributes")
    info.ClearField("details")
    info.type = info.type if info.type in _BY_SERVER else TYPE
    return bare
