"""Documents of builds: SBOM and provenance, read as they are."""

import hashlib

import pytest

from domain.build_documents import DocumentKind
from runtime.ids import new_id
from storage.engine import transaction
from storage.repositories.build_documents import BuildDocumentRepository

CYCLONEDX = b'{"bomFormat":"CycloneDX","specVersion":"1.6"}'
SPDX = b'{"spdxVersion":"SPDX-2.3"}'
ENVELOPE = b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[]}'
SARIF = b'{"version":"2.1.0","runs":[]}'
MEDIA = {
    SARIF: "application/sarif+json",
    CYCLONEDX: "application/vnd.cyclonedx+json",
    SPDX: "application/spdx+json",
    ENVELOPE: "application/vnd.dsse.envelope.v1+json",
}


@pytest.fixture
async def built(world, rows):
    """A build with all its documents."""
    build = await world.developer.made(
        f"/features/{world.feature['id']}/builds",
        {"version_tag": f"7.{new_id().int % 10**9}.0", "git_commit_hash": "abc123def456", "git_branch": "main"},
    )
    kinds = {DocumentKind.CYCLONEDX: CYCLONEDX, DocumentKind.SPDX: SPDX, DocumentKind.PROVENANCE: ENVELOPE}
    kinds[DocumentKind.SARIF] = SARIF
    async with transaction(rows) as session:
        for kind, text in kinds.items():
            await BuildDocumentRepository(session).put(build["id"], world.org["id"], kind, text)
    return build


@pytest.mark.parametrize(
    ("address", "accept", "expected"),
    [
        ("sbom", None, CYCLONEDX),
        ("sbom", "*/*", CYCLONEDX),
        ("sbom", "application/json", CYCLONEDX),
        ("sbom", "application/spdx+json", SPDX),
        ("sbom", "application/spdx+json;q=0.9, */*;q=0.1", SPDX),
        ("sbom", "application/vnd.cyclonedx+json, application/spdx+json", CYCLONEDX),
        ("sbom", "application/vnd.cyclonedx+json;q=0.1, Application/SPDX+json", SPDX),
        ("sbom", "application/spdx+json;q=0, */*", CYCLONEDX),
        ("sbom?format=spdx", "application/vnd.cyclonedx+json", SPDX),
        ("sbom?format=cyclonedx", "application/spdx+json", CYCLONEDX),
        ("provenance", None, ENVELOPE),
        ("sarif", None, SARIF),
    ],
)
async def test_a_document_is_answered_as_it_is(world, built, address, accept, expected):
    headers = {"accept": accept} if accept else {}
    answer = await world.developer.get(f"/builds/{built['id']}/{address}", headers=headers)
    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["content-type"] == MEDIA[expected]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f'filename="build-{built["build_number"]}.' in answer.headers["content-disposition"]
    assert answer.headers["etag"] == f'"sha256:{hashlib.sha256(expected).hexdigest()}"'


async def test_who_has_it_gets_304(world, built):
    url = f"/builds/{built['id']}/sbom"
    etag = (await world.developer.get(url)).headers["etag"]
    again = await world.developer.get(url, headers={"if-none-match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = await world.developer.get(f"{url}?format=spdx", headers={"if-none-match": etag})
    assert (other.status_code, other.content) == (200, SPDX)


@pytest.mark.parametrize("address", ["sbom", "sbom?format=spdx", "provenance"])
async def test_a_build_without_says_why(world, address):
    build = await world.developer.made(
        f"/features/{world.feature['id']}/builds",
        {"version_tag": f"8.{new_id().int % 10**9}.0", "git_commit_hash": "abc123def456", "git_branch": "main"},
    )
    answer = await world.developer.get(f"/builds/{build['id']}/{address}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert "its artifact is made here when it is first deployed" in answer.json()["error"]["message"]


async def test_a_build_that_nobody_scanned_says_so(world):
    build = await world.developer.made(
        f"/features/{world.feature['id']}/builds",
        {"version_tag": f"9.{new_id().int % 10**9}.0", "git_commit_hash": "abc123def456", "git_branch": "main"},
    )
    answer = await world.developer.get(f"/builds/{build['id']}/sarif")
    assert answer.status_code == 404
    assert "no scanner has looked at it" in answer.json()["error"]["message"]


@pytest.mark.parametrize("address", ["sbom", "provenance", "sarif"])
async def test_what_belongs_to_others_is_not_there(world, other_world, built, address):
    stranger = await world.developer.get(f"/builds/{new_id()}/{address}")
    assert stranger.status_code == 404
    nobody = await other_world.developer.get(f"/builds/{built['id']}/{address}")
    assert nobody.status_code == 404
    assert "does not exist" in nobody.json()["error"]["message"]


async def test_an_unknown_format_is_400(world, built):
    answer = await world.developer.get(f"/builds/{built['id']}/sbom?format=swid")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
