"""What the generated resources are made of: each method is one call, and one way to read its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ai_agents._answers import Answer
from ai_agents._async.lines import AsyncLines, Patience, events, json_lines
from ai_agents._async.operations import DEPLOYMENT, AsyncOperationHandle, followed
from ai_agents._async.pages import AsyncPage
from ai_agents._async.transport import AsyncTransport
from ai_agents._calls import Call, call
from ai_agents._errors import APIError
from ai_agents._lazy import models
from ai_agents._log_lines import LogLine, lines_of
from ai_agents._raw import RawResponse
from ai_agents._types import Json

if TYPE_CHECKING:
    from ai_agents._model import Model
    from ai_agents.models import Deployment, Operation

    M = TypeVar("M", bound=Model)
    N = TypeVar("N", bound=Model)
else:
    M = TypeVar("M")
    N = TypeVar("N")
T = TypeVar("T")

ACCEPTED = 202
NOT_MODIFIED = 304


class AsyncResource:
    """The methods of one resource."""

    def __init__(self, transport: AsyncTransport, *, raw: bool = False) -> None:
        self._transport = transport
        self._raw = raw

    def _given(self, answer: Answer, parse: Callable[[], T]) -> T:
        """What a method gives back; where answers are wanted as they came, that with it."""
        if self._raw:
            return cast("T", RawResponse(answer, parse))
        if answer.status == NOT_MODIFIED:
            raise APIError(f"{answer.call.name}: it is still as `if_none_match` names it", status=NOT_MODIFIED)
        return parse()

    async def _one(self, asked: Call, kind: type[M], *, enveloped: bool = True) -> M:
        answer = await self._transport.send(asked)
        return self._given(
            answer, lambda: answer.model(answer.envelope()["data"] if enveloped else answer.json(), kind)
        )

    async def _many(self, asked: Call, kind: type[M]) -> list[M]:
        answer = await self._transport.send(asked)
        return self._given(answer, lambda: [answer.model(one, kind) for one in _items(answer)])

    async def _page(self, asked: Call, kind: type[M]) -> AsyncPage[M]:
        answer = await self._transport.send(asked)

        async def following(position: dict[str, Any]) -> AsyncPage[M]:
            if position.get("cursor") and position["cursor"] == asked.query.get("cursor"):
                raise answer.invalid("names itself as the next page")
            return await AsyncResource(self._transport)._page(asked.again(**position), kind)  # noqa: SLF001

        def parse() -> AsyncPage[M]:
            pagination = answer.envelope().get("pagination")
            found: Json = pagination if isinstance(pagination, dict) else {}  # pyright: ignore[reportUnknownVariableType]
            return AsyncPage([answer.model(one, kind) for one in _items(answer)], found, following)

        return self._given(answer, parse)

    async def _nothing(self, asked: Call) -> None:
        answer = await self._transport.send(asked)
        return self._given(answer, lambda: None)

    async def _document(self, asked: Call) -> Json:
        answer = await self._transport.send(asked)
        return self._given(answer, lambda: cast("Json", answer.json()))

    async def _text(self, asked: Call) -> str:
        answer = await self._transport.send(asked)
        return self._given(answer, lambda: answer.text)

    async def _either(self, asked: Call, kind: type[M], accepted: type[N]) -> M | N:
        """One model, or with 202 another one."""
        answer = await self._transport.send(asked)
        chosen: type[M | N] = accepted if answer.status == ACCEPTED else kind
        return self._given(answer, lambda: answer.model(answer.envelope()["data"], chosen))

    async def _deployment(self, asked: Call) -> Deployment:
        """A deployment; with 202 the one that the accepted operation names is read."""
        answer = await self._transport.send(asked)
        found = answer
        if answer.status == ACCEPTED:
            accepted = answer.model(answer.envelope()["data"], models.AcceptedOperation)
            path = {"deployment_id": accepted.resource_id}
            found = await self._transport.send(call("deployments.get", "GET", DEPLOYMENT, path=path, options={}))
        return self._given(answer, lambda: found.model(found.envelope()["data"], models.Deployment))

    async def _operation(self, asked: Call) -> AsyncOperationHandle:
        answer = await self._transport.send(asked)

        def parse() -> AsyncOperationHandle:
            accepted = answer.model(answer.envelope()["data"], models.AcceptedOperation)
            return AsyncOperationHandle(self._transport, accepted)

        return self._given(answer, parse)

    def _json_lines(self, asked: Call) -> AsyncLines[Json]:
        return AsyncLines(json_lines(self._transport, asked))

    def _operations(self, asked: Call) -> AsyncLines[Operation]:
        return AsyncLines(followed(self._transport, asked, Patience()))

    def _log_lines(self, asked: Call) -> AsyncLines[LogLine]:
        return AsyncLines(_log_lines(self._transport, asked))


async def _log_lines(transport: AsyncTransport, asked: Call) -> AsyncGenerator[LogLine, None]:
    told = events(transport, asked, Patience())
    try:
        async for event in told:
            if event.name == "end":
                return
            if event.name == "log":
                for line in lines_of(event.data):
                    yield line
    finally:
        await told.aclose()


def _items(answer: Answer) -> list[Any]:
    found = answer.envelope()["data"]
    if not isinstance(found, list):
        raise answer.invalid("is no list")
    return found  # pyright: ignore[reportUnknownVariableType]
