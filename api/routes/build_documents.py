"""What was made, and how: the SBOM of a build, its signed provenance, and what scanners said of it."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.auth.permissions import DeploymentsRead, SecurityRead
from api.dependencies import State
from api.http.documents import document_reply, documented, has_document
from api.http.problem_details import accepted_weights
from api.services.build_documents import find_document
from domain.build_documents import DocumentKind

router = APIRouter(tags=["Builds"])


class SbomFormat(StrEnum):
    """In whose words the parts are listed."""

    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"


_SBOMS: Final = {
    SbomFormat.CYCLONEDX: (DocumentKind.CYCLONEDX, "application/vnd.cyclonedx+json", "cdx.json"),
    SbomFormat.SPDX: (DocumentKind.SPDX, "application/spdx+json", "spdx.json"),
}
_SAMPLES: Final = {
    "application/vnd.cyclonedx+json": '{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}',
    "application/spdx+json": '{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[]}',
}
# As registries of artifacts call a DSSE envelope.
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
_ENVELOPE = '{"payload":"eyJf...","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEU..."}]}'
SARIF: Final = "application/sarif+json"
_SARIF = '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"bandit"}},"results":[]}]}'


@router.get(
    "/builds/{build_id}/sbom",
    summary="Get a build's SBOM",
    response_class=Response,
    responses=documented(_SAMPLES, "The parts of the artifact"),
)
async def get_build_sbom(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    build_id: UUID,
    wanted: Annotated[SbomFormat | None, Query(alias="format", description="instead of `Accept`")] = None,
) -> Response:
    """What the artifact is made of, as CycloneDX 1.6 (unless told otherwise) or SPDX 2.3.

    Its digest is in the build's provenance.
    """
    kind, media_type, ending = _SBOMS[wanted or _accepted(request)]
    found = await find_document(
        parts.sessions, principal.tenant, build_id, kind, known=lambda digest: has_document(request, digest)
    )
    name = f"build-{found.build.build_number}.{ending}"
    return document_reply(found.text, found.digest, media_type=media_type, filename=name, headers={"Vary": "Accept"})


@router.get(
    "/builds/{build_id}/provenance",
    summary="Get a build's provenance",
    response_class=Response,
    responses=documented({ENVELOPE: _ENVELOPE}, "A signed statement"),
)
async def get_build_provenance(request: Request, parts: State, principal: DeploymentsRead, build_id: UUID) -> Response:
    """What made the artifact of which sources: a SLSA v1 statement (in-toto) in a DSSE envelope.

    It is signed with a key of `/.well-known/delivery-attestation-keys.json`; docs/provenance.md says how to check it.
    """
    found = await find_document(
        parts.sessions,
        principal.tenant,
        build_id,
        DocumentKind.PROVENANCE,
        known=lambda digest: has_document(request, digest),
    )
    name = f"build-{found.build.build_number}.intoto.json"
    return document_reply(found.text, found.digest, media_type=ENVELOPE, filename=name)


@router.get(
    "/builds/{build_id}/sarif",
    summary="Get a build's scan as SARIF",
    response_class=Response,
    responses=documented({SARIF: _SARIF}, "What the scanners found"),
)
async def get_build_sarif(request: Request, parts: State, principal: SecurityRead, build_id: UUID) -> Response:
    """What its scan found, as SARIF 2.1.0 for code hosts and editors; what was suppressed then is marked.

    `/builds/{id}/vulnerabilities` has it as it stands now, with what became known later.
    """
    found = await find_document(
        parts.sessions,
        principal.tenant,
        build_id,
        DocumentKind.SARIF,
        known=lambda digest: has_document(request, digest),
    )
    return document_reply(
        found.text, found.digest, media_type=SARIF, filename=f"build-{found.build.build_number}.sarif"
    )


def _accepted(request: Request) -> SbomFormat:
    """Of the two media types the one with more weight, then the first; whoever names neither gets CycloneDX."""
    forms = {media: form for form, (_, media, _) in _SBOMS.items()}
    wanted = [(weight, forms[media]) for media, weight in accepted_weights(request).items() if media in forms]
    named = [each for each in wanted if each[0] > 0]
    return max(named, key=lambda each: each[0], default=(0.0, SbomFormat.CYCLONEDX))[1]
