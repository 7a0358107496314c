"""Checks of provenance and SBOM by tools nobody here wrote: in-toto's, SPDX's and CycloneDX's own libraries."""

import base64
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto.models.metadata import Envelope
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # it does not say what it exports

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of rdflib, at its import
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def verified(envelope: bytes, pem: str) -> dict[str, Any]:
    """The statement of an envelope that this key signed, as in-toto's libraries read it.

    Raises:
        securesystemslib.exceptions.VerificationError: nobody with this key signed it.
    """
    read = Envelope.from_dict(json.loads(envelope))
    [signature] = json.loads(envelope)["signatures"]
    key = SSlibKey.from_crypto(load_pem_public_key(pem.encode()), keyid=signature["keyid"])
    read.verify([key], threshold=1)
    assert read.payload_type == "application/vnd.in-toto+json"
    statement: dict[str, Any] = json.loads(read.payload)
    Statement.copy_from_pb(ParseDict(statement, statement_pb2.Statement())).validate()
    ParseDict(statement["predicate"], Provenance())  # raises for a field that SLSA does not have
    return statement


def key_of(keys: Mapping[str, Any], envelope: bytes) -> str:
    """The PEM of the published key that the envelope names."""
    [signature] = json.loads(envelope)["signatures"]
    return str(next(key["pem"] for key in keys["keys"] if key["kid"] == signature["keyid"]))


def faults_of_cyclonedx(text: bytes) -> object:
    """What the strict validator of CycloneDX 1.6 says; None: it is valid."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode())


def faults_of_spdx(text: bytes, folder: Path) -> Sequence[object]:
    """What SPDX's own tools say of a document of 2.3."""
    path = folder / "sbom.spdx.json"
    path.write_bytes(text)
    faults: Sequence[object] = validate_full_spdx_document(parse_file(str(path)), "SPDX-2.3")
    return faults


def payload_of(envelope: bytes) -> bytes:
    """What is signed."""
    return base64.b64decode(json.loads(envelope)["payload"])
