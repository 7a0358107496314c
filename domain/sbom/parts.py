"""What an SBOM is about: an artifact and the packages that lock files name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from domain.findings import Package

# Licences that both formats know by these very names; any other is told as it was written.
KNOWN_LICENSES: Final = frozenset(
    {
        "0BSD",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "EPL-2.0",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ISC",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "WTFPL",
        "Zlib",
    }
)
_HASH: Final = re.compile(r"(md5|sha1|sha256|sha384|sha512):([0-9a-f]+)")
_DIGITS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
_NAMESPACE: Final = UUID("5c2f7c1e-2d57-4f6a-9a35-0d8f0b4d1c6e")


@dataclass(frozen=True)
class Subject:
    """The artifact. `digest`: `sha256:<hex>`. `made_at`: of its build, so that the same build says the same.

    `unknown`: why its packages are not known; None: they were looked for. `notices`: what whoever reads it should know.
    """

    build_id: UUID
    name: str
    version: str
    digest: str
    repository: str
    commit: str
    made_at: datetime
    engine_version: str
    unknown: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def serial(self) -> UUID:
        """The same for the same artifact of the same build."""
        return uuid5(_NAMESPACE, f"{self.build_id}:{self.digest}")

    @property
    def sha256(self) -> str:
        """The digest in hexadecimal digits."""
        return self.digest.removeprefix("sha256:")

    @property
    def moment(self) -> str:
        """When it was made: RFC 3339 in UTC, to the second, as both formats want it."""
        return f"{self.made_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class Part:
    """A package, however many lock files name it. `development`: all of them need it to build or to test only."""

    purl: str
    package: Package
    paths: tuple[str, ...]
    development: bool

    @property
    def hashes(self) -> dict[str, str]:
        """By algorithm. Several of one are of several files (wheels for several machines): none of them is the one."""
        found: dict[str, set[str]] = {}
        for text in self.package.hashes:
            match = _HASH.fullmatch(text)
            if match and len(match[2]) == _DIGITS[match[1]]:
                found.setdefault(match[1], set()).add(match[2])
        return {algorithm: next(iter(values)) for algorithm, values in sorted(found.items()) if len(values) == 1}


def parts_of(packages: Iterable[Package]) -> Sequence[Part]:
    """The packages by their address, each once."""
    found: dict[str, list[Package]] = {}
    for package in packages:
        found.setdefault(package.purl, []).append(package)
    return [_part(purl, found[purl]) for purl in sorted(found)]


def _part(purl: str, same: Sequence[Package]) -> Part:
    paths = tuple(sorted({package.path for package in same if package.path}))
    first = min(same, key=lambda package: (package.path, package.hashes, package.licenses))
    return Part(purl, first, paths, all(package.development for package in same))
