"""Where anybody finds the keys that provenance is checked with; docs/provenance.md says how."""

import json
from typing import Final

from fastapi import APIRouter, Request, Response

from api.dependencies import State
from api.http.envelope import JSON
from api.http.etags import tag_of_json, unchanged
from api.services.attestation_keys import published_keys

# Outside of /v1 and of its document: a JWK set is a standard's (RFC 7517), and its address stays.
router = APIRouter(include_in_schema=False)
# A revoked key may be believed for so long by who keeps the answer.
_KEPT_S: Final = 300


@router.get("/.well-known/delivery-attestation-keys.json")
async def attestation_keys(request: Request, parts: State) -> Response:
    """A JWK set, each key also as PEM."""
    content = json.dumps(await published_keys(parts.sessions, parts.sealer), separators=(",", ":")).encode()
    headers = {
        "ETag": tag_of_json(content),
        "Cache-Control": f"public, max-age={_KEPT_S}",
        "Access-Control-Allow-Origin": "*",
    }
    if unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=JSON)
