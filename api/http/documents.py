"""Documents that are answered as they are, without the contract's envelope, with their digest as ETag."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from api.http.etags import unchanged


def tag_of_digest(digest: str) -> str:
    """The strong tag of a document whose digest is `sha256:<hex>`."""
    return f'"{digest}"'


def has_document(request: Request, digest: str) -> bool:
    """Whether the caller has the document with this digest, by its own word (`If-None-Match`)."""
    return unchanged(request, tag_of_digest(digest))


def document_reply(
    text: bytes | None, digest: str, *, media_type: str, filename: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The document, for programs and to be kept as a file; None: a 304, the caller has it already."""
    told = {"ETag": tag_of_digest(digest), "Cache-Control": "private, no-cache", **(headers or {})}
    if text is None:
        return Response(status_code=304, headers=told)
    told["Content-Disposition"] = f'attachment; filename="{filename}"'
    told["X-Content-Type-Options"] = "nosniff"
    return Response(text, headers=told, media_type=media_type)


def documented(samples: Mapping[str, str], words: str) -> dict[int | str, dict[str, Any]]:
    """For `responses` of a route: a sample of each media type that it answers, all of them JSON objects."""
    schema = {"type": "object", "additionalProperties": True}
    content = {media: {"schema": schema, "example": json.loads(sample)} for media, sample in samples.items()}
    tag = {"ETag": {"description": "the document's digest", "schema": {"type": "string", "maxLength": 80}}}
    return {200: {"description": words, "content": content, "headers": tag}}
