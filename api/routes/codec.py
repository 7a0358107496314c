"""The codec endpoint: Temporal's UI and CLI send payloads here to show them to operators in the clear.

Protocol: POST `{endpoint}/decode` and `/encode`, both ways a `temporal.api.common.v1.Payloads` in protobuf's JSON. The
protocol is Temporal's and not part of /v1. A namespace holds the histories of all organizations, so only platform
admins have access.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from temporalio.api.common.v1 import Payload, Payloads

from api.auth.permissions import Authenticated
from api.auth.principal import Principal
from api.dependencies import State
from api.http.envelope import JSON
from api.http.errors import InvalidRequestError
from domain.errors import DependencyError, ForbiddenError, NotFoundError, UnprocessableError
from runtime.codec import EncryptionCodec, load_codec
from runtime.logging import get_logger

log = get_logger(__name__)

PREFIX = "/temporal/codec"

router = APIRouter(prefix=PREFIX, include_in_schema=False)


class CodecCors:
    """CORS for the codec endpoint only, for the configured origins of the Temporal UI."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", "x-namespace"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"].startswith(PREFIX + "/")
        await (self._cors if ours else self.app)(scope, receive, send)


async def _operator(principal: Authenticated) -> Principal:
    if not principal.is_platform_admin:
        raise ForbiddenError(
            "workflow histories hold the data of all organizations: only platform admins may read them"
        )
    return principal


async def _codec(parts: State) -> EncryptionCodec:
    codec = load_codec(parts.settings)
    if codec is None:
        raise NotFoundError("histories are not encrypted here: DELIVERY_TEMPORAL_CODEC_KEYS is not set")
    return codec


Operator = Annotated[Principal, Depends(_operator)]
Codec = Annotated[EncryptionCodec, Depends(_codec)]


@router.post("/decode")
async def decode(request: Request, operator: Operator, codec: Codec) -> Response:
    """The payloads decrypted. Those that are not encrypted are returned unchanged."""
    payloads = await _payloads(request)
    try:
        plain = await codec.show(payloads)
    except DependencyError as error:
        raise UnprocessableError(error.message) from error
    log.info("codec.decoded", subject=operator.subject, payloads=len(payloads))
    return _answer(plain)


@router.post("/encode")
async def encode(request: Request, operator: Operator, codec: Codec) -> Response:
    """The payloads encrypted, for what an operator sends to a workflow with the CLI."""
    payloads = await _payloads(request)
    log.info("codec.encoded", subject=operator.subject, payloads=len(payloads))
    return _answer(await codec.encode(payloads))


async def _payloads(request: Request) -> Sequence[Payload]:
    try:
        return Parse(await request.body(), Payloads()).payloads
    except (ParseError, ValueError, RecursionError) as error:
        message = "must be temporal.api.common.v1.Payloads as JSON: {'payloads': [{'metadata': {...}, 'data': ...}]}"
        raise InvalidRequestError("payloads", message, code="payloads_invalid") from error


def _answer(payloads: Sequence[Payload]) -> Response:
    return Response(MessageToJson(Payloads(payloads=payloads), indent=None), media_type=JSON)
