"""What is shipped is known: its provenance is checked by others' tools, and what does not hold is not started."""

import hashlib
import json
import tempfile
from pathlib import Path

import pytest

from drivers.folders import remove_tree
from tests.support.platform import OPERATION_SECONDS, Platform
from tests.support.provenance import faults_of_cyclonedx, faults_of_spdx, key_of, verified
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

LOCKED = {"requirements.txt": "itsdangerous==2.2.0\n"}
PURL = "pkg:pypi/itsdangerous@2.2.0"


@pytest.fixture(scope="module")
def app(platform):
    return platform.app("proven")


@pytest.fixture
def scanning(advisories):
    """A stack of its own with all scanners that are at hand."""
    folder = Path(tempfile.mkdtemp(prefix="de scan-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        scans = {"DELIVERY_SCANNERS": "all", "DELIVERY_ADVISORIES_DIR": str(advisories)}
        running = Platform(folder / "data", folder / "repositories", scans)
        try:
            yield running
        finally:
            running.close()
    finally:
        remove_tree(folder)


def deployed(app, build_id):
    """The same build once more in `dev`: its operation and its deployment."""
    accepted = app.api.deploy(build_id)
    return app.api.wait(accepted.operation_id, OPERATION_SECONDS), app.api.deployment(accepted.deployment_id)


def is_stopped(records, build_id) -> bool:
    """Whether no release of the build runs any more."""
    states = records.all("SELECT state FROM releases WHERE build_id = %s", build_id)
    return all(row["state"] in {"stopped", "failed"} for row in states)


def test_what_is_shipped_is_known_and_what_was_tampered_with_is_not_started(platform, app, records, tmp_path):
    first, second = app.ship_good(files=LOCKED), app.ship_good()
    build = app.api.build(first.deployment["build_id"])
    url = f"/v1/builds/{build['id']}"
    envelope = app.api.raw("GET", f"{url}/provenance").content
    keys = app.api.raw("GET", "/.well-known/delivery-attestation-keys.json").json()
    statement = verified(envelope, key_of(keys, envelope))
    digest = build["artifact_digest"].removeprefix("sha256:")
    archive = platform.stack.data_dir / "artifacts" / "sha256" / f"{digest}.tar"
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest() == digest
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["resolvedDependencies"][0]["digest"]["gitCommit"] == first.commit
    assert definition["internalParameters"]["isolated"] is False  # trusted code, as this stack is set up
    assert run["metadata"]["invocationId"] == first.operation["operation_id"]
    byproducts = {each["name"]: each for each in run["byproducts"]}

    cyclonedx = app.api.raw("GET", f"{url}/sbom").content
    spdx = app.api.raw("GET", f"{url}/sbom?format=spdx").content
    assert (faults_of_cyclonedx(cyclonedx), list(faults_of_spdx(spdx, tmp_path))) == (None, [])
    for name, text in (("sbom.cdx.json", cyclonedx), ("sbom.spdx.json", spdx)):
        assert byproducts[name]["digest"]["sha256"] == hashlib.sha256(text).hexdigest()
    assert [part["purl"] for part in json.loads(cyclonedx)["components"]] == [PURL]
    assert byproducts["scan.json"]["annotations"]["status"] == "passed"
    assert json.loads(cyclonedx)["metadata"]["component"]["hashes"][0]["content"] == digest

    # While its release still runs, it would be taken back into service and its archive not be opened.
    until(lambda: is_stopped(records, build["id"]), "the end of the first release", OPERATION_SECONDS)
    kept = archive.read_bytes()
    archive.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    operation, deployment = deployed(app, build["id"])
    assert (operation["status"], deployment["status"]) == ("failed", "failed")
    assert operation["error"]["code"] == "ARTIFACT_UNAVAILABLE"
    assert "damaged" in operation["error"]["message"]
    assert app.service.version() == second.version
    archive.write_bytes(kept)

    stranger = second.deployment["build_id"]
    records.all(
        "UPDATE build_documents SET content = other.content, digest = other.digest FROM build_documents other"
        " WHERE build_documents.build_id = %s AND other.build_id = %s"
        " AND build_documents.kind = 'provenance' AND other.kind = 'provenance' RETURNING build_documents.build_id",
        build["id"],
        stranger,
    )
    operation, deployment = deployed(app, build["id"])
    assert (operation["status"], deployment["status"]) == ("failed", "failed")
    assert operation["error"]["code"] == "PROVENANCE_INVALID"
    assert "is of another build" in operation["error"]["message"]
    assert app.service.version() == second.version


@pytest.mark.deep
def test_what_all_scanners_said_is_named_by_the_provenance(scanning):
    """Of real tools: the packages are in the SBOM, the counts and the result's digest in the provenance."""
    app = scanning.app("scanned")
    weak = "import subprocess\n\n\ndef run(line):\n    return subprocess.call(line, shell=True)\n"
    shipped = app.ship_good(files={**LOCKED, "weak.py": weak})
    url = f"/v1/builds/{shipped.deployment['build_id']}"
    envelope = app.api.raw("GET", f"{url}/provenance").content
    statement = verified(
        envelope, key_of(app.api.raw("GET", "/.well-known/delivery-attestation-keys.json").json(), envelope)
    )
    byproducts = {each["name"]: each for each in statement["predicate"]["runDetails"]["byproducts"]}
    assert byproducts["scan.json"]["annotations"]["high"] >= 1
    found = app.api.raw("GET", f"{url}/vulnerabilities").json()["data"]
    assert "B602" in {row["rule"] for row in found}
    sbom = app.api.raw("GET", f"{url}/sbom").json()
    assert PURL in {part["purl"] for part in sbom["components"]}
