"""What is not even HTTP is refused in the envelope too: no application sees it, so the server itself has to."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.envelope import JSON, ErrorBody, ErrorEnvelope, Meta
from api.version import API_VERSION
from domain.errors import ErrorCode
from runtime.ids import new_id, now


class EnvelopedHttp(HttpToolsProtocol):
    """uvicorn's protocol, with our words for what cannot be parsed; the connection is closed as before."""

    def send_400_response(self, msg: str) -> None:
        """Say 400 with a request id of its own; whatever id the client sent was not read."""
        request_id = f"req-{new_id()}"
        body = refusal(f"{msg} Check the request line, its encoding and length, and the headers", request_id).encode()
        head = [
            "HTTP/1.1 400 Bad Request",
            f"content-type: {JSON}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()


def refusal(message: str, request_id: str) -> str:
    """The envelope for a request that has no scope."""
    error = ErrorBody(code=ErrorCode.VALIDATION_ERROR, message=message)
    meta = Meta(timestamp=now(), request_id=request_id, version=API_VERSION)
    return ErrorEnvelope(success=False, status=400, error=error, meta=meta).model_dump_json()
