"""An SBOM as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

Written here: the output of `cyclonedx-python-lib` takes time by the square of the number of packages (4 s for 2,000,
35 s for 5,000). Its validator checks what is written here in the tests.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from domain.findings import Ecosystem
from domain.sbom.parts import KNOWN_LICENSES, Part, Subject

_HASHES: Final = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_ROOT: Final = "artifact"
_NOTE: Final = "delivery-engine:notice"


def cyclonedx(subject: Subject, parts: Sequence[Part]) -> bytes:
    """The document as JSON: the same artifact and parts always give the same bytes.

    Which part needs which is not told: lock files of most kinds do not say it. Nor is it claimed to be complete: what
    no lock file names is not in it.
    """
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{subject.serial}",
        "version": 1,
        "metadata": _metadata(subject),
        "components": [_component(part) for part in parts],
        "compositions": [{"aggregate": "unknown" if subject.unknown else "incomplete", "assemblies": [_ROOT]}],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _metadata(subject: Subject) -> dict[str, Any]:
    tool = {"type": "application", "name": "delivery-engine", "version": subject.engine_version}
    notices = [*([subject.unknown] if subject.unknown else []), *subject.notices]
    found: dict[str, Any] = {
        "timestamp": subject.moment,
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [tool]},
        "component": {
            "type": "application",
            "bom-ref": _ROOT,
            "name": subject.name,
            "version": subject.version,
            "hashes": [{"alg": "SHA-256", "content": subject.sha256}],
            "pedigree": {"commits": [{"uid": subject.commit}]},
        },
    }
    if notices:
        found["properties"] = [{"name": _NOTE, "value": notice} for notice in notices]
    return found


def _component(part: Part) -> dict[str, Any]:
    package = part.package
    group, name = _group_and_name(part)
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": part.purl,
        **({"group": group} if group else {}),
        "name": name,
        "version": package.version,
        "scope": "excluded" if part.development else "required",
        "purl": part.purl,
    }
    if part.hashes:
        found["hashes"] = [{"alg": _HASHES[kind], "content": text} for kind, text in part.hashes.items()]
    if package.licenses:
        found["licenses"] = [{"license": _license(text)} for text in sorted(set(package.licenses))]
    if part.paths:
        found["evidence"] = {"occurrences": [{"location": path} for path in part.paths]}
    return found


def _group_and_name(part: Part) -> tuple[str, str]:
    separator = {Ecosystem.MAVEN: ":", Ecosystem.NPM: "/"}.get(part.package.ecosystem)
    group, _, name = part.package.name.rpartition(separator) if separator else ("", "", part.package.name)
    return (group, name) if name else ("", part.package.name)


def _license(text: str) -> dict[str, str]:
    return {"id": text} if text in KNOWN_LICENSES else {"name": text or "unknown"}
