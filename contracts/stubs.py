"""Typed activity stubs: workflows call activities by name, and activities implement them with the same types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from temporalio import activity

from contracts.payload import Payload
from contracts.policies import Policy

Request = TypeVar("Request", bound=Payload)
Result = TypeVar("Result", bound=Payload)


@dataclass(frozen=True)
class ActivityStub(Generic[Request, Result]):
    """One activity: its name, its types, its timeouts and retries."""

    name: str
    request: type[Request]
    result: type[Result]
    policy: Policy


def implements(
    stub: ActivityStub[Request, Result],
) -> Callable[[Callable[[Any, Request], Awaitable[Result]]], Callable[[Any, Request], Awaitable[Result]]]:
    """Mark a method as the implementation of a stub. mypy checks that the types agree."""
    return activity.defn(name=stub.name)
