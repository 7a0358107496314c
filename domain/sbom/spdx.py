"""An SBOM as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/). Written here; `spdx-tools` checks it in the tests."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from domain.sbom.parts import KNOWN_LICENSES, Part, Subject

_NONE: Final = "NOASSERTION"
_ROOT: Final = "SPDXRef-Artifact"
_DOCUMENT: Final = "SPDXRef-DOCUMENT"
# What SPDX takes for the place of a repository, to be written as it is: a host of the internet, no address.
_HOST: Final = r"([A-Za-z0-9-]+\.)+[A-Za-z]{2,63}(:[0-9]{1,5})?"
_PLACE: Final = re.compile(rf"(https?|ssh|git)://([A-Za-z0-9._-]+@)?{_HOST}/[A-Za-z0-9._~/%+-]+")


def spdx(subject: Subject, parts: Sequence[Part]) -> bytes:
    """The document as JSON: the same artifact and parts always give the same bytes."""
    notices = [*([subject.unknown] if subject.unknown else []), *subject.notices]
    comment = {"comment": "; ".join(notices)} if notices else {}
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": f"{subject.name}-{subject.version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{quote(subject.name, safe='')}-{subject.serial}",
        "creationInfo": {
            "created": subject.moment,
            "creators": [f"Tool: delivery-engine-{subject.engine_version}"],
            **comment,
        },
        "packages": [_artifact(subject), *(_package(part) for part in parts)],
        "relationships": [_related(_DOCUMENT, "DESCRIBES", _ROOT), *(_needed(part) for part in parts)],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _artifact(subject: Subject) -> dict[str, Any]:
    place = f"git+{subject.repository}@{subject.commit}" if _PLACE.fullmatch(subject.repository) else _NONE
    return {
        "SPDXID": _ROOT,
        "name": subject.name,
        "versionInfo": subject.version,
        "downloadLocation": place,
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": subject.sha256}],
        "primaryPackagePurpose": "APPLICATION",
        **_licensed(()),
    }


def _package(part: Part) -> dict[str, Any]:
    package = part.package
    found: dict[str, Any] = {
        "SPDXID": _id(part),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        ],
        **_licensed(package.licenses),
    }
    if part.hashes:
        found["checksums"] = [{"algorithm": kind.upper(), "checksumValue": text} for kind, text in part.hashes.items()]
    if part.paths:
        found["sourceInfo"] = f"named by {', '.join(part.paths)}"
    return found


def _licensed(licenses: Sequence[str]) -> dict[str, str]:
    """What the package says of itself; a name that SPDX does not know stands in the comment."""
    names = sorted(set(licenses))
    found = {"licenseConcluded": _NONE, "licenseDeclared": _NONE, "copyrightText": _NONE}
    if names and KNOWN_LICENSES.issuperset(names):
        found["licenseDeclared"] = " AND ".join(names)
    elif names:
        found["licenseComments"] = f"declared as: {', '.join(names)}"
    return found


def _needed(part: Part) -> dict[str, str]:
    if part.development:
        return _related(_id(part), "DEV_DEPENDENCY_OF", _ROOT)
    return _related(_ROOT, "DEPENDS_ON", _id(part))


def _related(one: str, how: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}


def _id(part: Part) -> str:
    return f"SPDXRef-Package-{hashlib.sha256(part.purl.encode()).hexdigest()[:20]}"
