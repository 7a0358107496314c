"""The ingress' own error responses, as JSON with an API error code and a message for the service's caller.

The first matching mapper is used. Response flags are Envoy's reasons (its access log documentation, RESPONSE_FLAGS).
"""

from http import HTTPStatus
from typing import Any

NOT_FOUND = (
    "RESOURCE_NOT_FOUND",
    "nothing is deployed under this host; the environment resource's url names the right one",
)
BY_FLAG: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("NR",), *NOT_FOUND),
    (("UT", "UMSDR"), "TIMEOUT", "the service's answer took longer than service.timeout in its delivery.yaml allows"),
    (("SI",), "TIMEOUT", "nothing was sent for as long as service.idle_timeout in the delivery.yaml of the service"),
    (("UH",), "SERVICE_UNAVAILABLE", "no instance of the service passes its health check at the moment"),
    (("UF",), "SERVICE_UNAVAILABLE", "no connection to the service could be made; try again shortly"),
    (("UC", "UR", "LR"), "SERVICE_UNAVAILABLE", "the service closed the connection before it had answered"),
    (("UO",), "SERVICE_UNAVAILABLE", "the service has too many requests at once; try again shortly"),
    (("UPE",), "SERVICE_UNAVAILABLE", "the service's answer is not valid HTTP"),
)
BY_STATUS: tuple[tuple[HTTPStatus, str, str], ...] = (
    (HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", "the request is not valid HTTP, or has no Host"),
    (HTTPStatus.FORBIDDEN, "VALIDATION_ERROR", "of protocol upgrades only websocket is passed on"),
    (HTTPStatus.REQUEST_TIMEOUT, "TIMEOUT", "the request did not arrive in time"),
    (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PAYLOAD_TOO_LARGE", "the request's body is too large"),
    (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "PAYLOAD_TOO_LARGE", "the request's headers are too large"),
    (HTTPStatus.GATEWAY_TIMEOUT, "TIMEOUT", "the service did not answer in time"),
)
ANY_OTHER = ("SERVICE_UNAVAILABLE", "the service cannot be reached through the ingress at the moment")


def local_replies() -> dict[str, Any]:
    """Envoy's `local_reply_config`."""
    by_flag = [_mapper({"response_flag_filter": {"flags": list(flags)}}, *told) for flags, *told in BY_FLAG]
    by_status = [_mapper(_status(status), *told) for status, *told in BY_STATUS]
    return {"mappers": [*by_flag, *by_status], "body_format": _body(*ANY_OTHER)}


def _mapper(condition: dict[str, Any], code: str, message: str) -> dict[str, Any]:
    return {"filter": condition, "body_format_override": _body(code, message)}


def _status(status: HTTPStatus) -> dict[str, Any]:
    value = {"default_value": status.value, "runtime_key": f"delivery.ingress.reply_{status.value}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _body(code: str, message: str) -> dict[str, Any]:
    return {"json_format": {"error": {"code": code, "message": message}}}
