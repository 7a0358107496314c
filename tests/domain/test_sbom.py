"""SBOMs: valid by the formats' own tools, the same for the same build, honest about what is not known."""

import json
import sys
from datetime import UTC, datetime
from types import FrameType
from uuid import UUID

import pytest

from domain.findings import Ecosystem, Package
from domain.sbom.cyclonedx import cyclonedx
from domain.sbom.parts import Subject, parts_of
from domain.sbom.spdx import spdx
from tests.support.provenance import faults_of_cyclonedx, faults_of_spdx

SUBJECT = Subject(
    build_id=UUID(int=7),
    name="shop",
    version="1.0.0",
    digest="sha256:" + "d" * 64,
    repository="https://git.example.com/acme/shop",
    commit="c" * 40,
    made_at=datetime(2026, 12, 1, 10, tzinfo=UTC),
    engine_version="0.1.0",
    notices=("hadolint has no result",),
)
B3, HASHES = "BSD-3-Clause", ("sha512:" + "b" * 128,)
BAD_HASHES = ("sha256:zz", "crc32:00000000", "sha256:ab")
PACKAGES = (
    Package(
        ecosystem=Ecosystem.PYPI, name="Django", version="5.0.1", path="requirements.txt", licenses=("BSD-3-Clause",)
    ),
    Package(ecosystem=Ecosystem.PYPI, name="Django", version="5.0.1", path="dev/requirements.txt", development=True),
    Package(
        ecosystem=Ecosystem.NPM, name="@acme/ui", version="1.0.0", development=True, hashes=("sha512:" + "b" * 128,)
    ),
    Package(ecosystem=Ecosystem.NPM, name="left-pad", version="1.0.0", licenses=("Own license (see FILE)", "MIT")),
    Package(ecosystem=Ecosystem.GO, name="github.com/gin-gonic/gin", version="v1.9.1", path="go.sum"),
    Package(ecosystem=Ecosystem.MAVEN, name="org.slf4j:slf4j-api", version="2.0.9", licenses=("MIT", "Apache-2.0")),
    Package(ecosystem=Ecosystem.PYPI, name="several", version="1", hashes=("sha256:" + "1" * 64, "sha256:" + "2" * 64)),
    # What lock files of strangers may have.
    Package(ecosystem=Ecosystem.NPM, name='"><script>\u202e\x07', version="1 OR 1", path="a b/ü.json", licenses=("",)),
    Package(
        ecosystem=Ecosystem.PYPI, name="bad-hash", version="1", hashes=("sha256:zz", "crc32:00000000", "sha256:ab")
    ),
)


def test_both_are_valid_by_the_tools_of_their_makers(tmp_path):
    parts = parts_of(PACKAGES)
    assert faults_of_cyclonedx(cyclonedx(SUBJECT, parts)) is None
    assert list(faults_of_spdx(spdx(SUBJECT, parts), tmp_path)) == []


@pytest.mark.parametrize(
    "repository",
    ["/srv/a b", "git@example.com:a/b", "ssh://git@h/a", "ssh://git@h.de:22/a", "http://127.0.0.1:1/a", "x"],
)
def test_so_they_are_wherever_the_sources_are(tmp_path, repository):
    subject = Subject(**{**vars(SUBJECT), "repository": repository, "name": "Größe & Co", "unknown": "not scanned"})
    assert faults_of_cyclonedx(cyclonedx(subject, ())) is None
    assert list(faults_of_spdx(spdx(subject, ()), tmp_path)) == []


def test_the_validators_see_what_is_wrong(tmp_path):
    """Otherwise the two tests above would show nothing."""
    wrong = json.loads(cyclonedx(SUBJECT, parts_of(PACKAGES)))
    wrong["components"][0]["type"] = "nonsense"
    assert faults_of_cyclonedx(json.dumps(wrong).encode()) is not None
    wrong = json.loads(spdx(SUBJECT, parts_of(PACKAGES)))
    wrong["packages"].append(wrong["packages"][0])
    assert list(faults_of_spdx(json.dumps(wrong).encode(), tmp_path)) != []


def test_the_same_build_says_the_same_in_whatever_order_its_packages_come():
    parts, other = parts_of(PACKAGES), parts_of(reversed(PACKAGES))
    assert (cyclonedx(SUBJECT, parts), spdx(SUBJECT, parts)) == (cyclonedx(SUBJECT, other), spdx(SUBJECT, other))


def test_a_package_in_two_lock_files_is_one_part_needed_where_one_of_them_needs_it():
    [part] = [part for part in parts_of(PACKAGES) if part.package.name == "Django"]
    assert (part.purl, part.paths) == ("pkg:pypi/django@5.0.1", ("dev/requirements.txt", "requirements.txt"))
    assert not part.development


def test_what_is_needed_to_build_only_is_told_from_the_rest():
    found = {part["purl"]: part["scope"] for part in json.loads(cyclonedx(SUBJECT, parts_of(PACKAGES)))["components"]}
    assert (found["pkg:npm/%40acme/ui@1.0.0"], found["pkg:npm/left-pad@1.0.0"]) == ("excluded", "required")
    related = json.loads(spdx(SUBJECT, parts_of(PACKAGES)))["relationships"]
    assert sum(each["relationshipType"] == "DEV_DEPENDENCY_OF" for each in related) == 1


def test_only_hashes_that_are_the_packages_own_are_told():
    found = {
        part["name"]: part.get("hashes") for part in json.loads(cyclonedx(SUBJECT, parts_of(PACKAGES)))["components"]
    }
    assert found["ui"] == [{"alg": "SHA-512", "content": "b" * 128}]
    assert (found["several"], found["bad-hash"]) == (None, None)


def documents_of(count: int) -> tuple[bytes, bytes]:
    parts = parts_of([Package(ecosystem=Ecosystem.NPM, name=f"p{number}", version="1.0.0") for number in range(count)])
    return cyclonedx(SUBJECT, parts), spdx(SUBJECT, parts)


def calls_for(count: int) -> int:
    """Calls of functions, Python's and C's: seconds would be the machine's."""
    calls = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        documents_of(count)
    finally:
        sys.setprofile(None)
    return calls


def test_twenty_thousand_packages_take_no_square_of_time():
    assert calls_for(2000) < 2.5 * calls_for(1000)
    assert all(len(text) < 32 * 1024 * 1024 for text in documents_of(20_000))
