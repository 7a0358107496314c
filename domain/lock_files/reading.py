"""What lock files say, whichever tool wrote them. A lock file is a stranger's: it is read in a process with limits."""

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import yaml
from pydantic_core import from_json

from domain.errors import ErrorCode, TerminalError
from domain.findings import Ecosystem, Kept, Package
from domain.foreign_text import decoded
from domain.package_names import is_name, normal_name
from domain.package_versions.parsing import MAX_VERSION

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of a lock file; a very large one has 5 MiB."""
MAX_PACKAGES: Final = 20_000
"""Packages of one lock file."""
MAX_DEPTH: Final = 100
MAX_HASHES: Final = 16
"""Of one package: a project of many wheels has some hundred, of which a build takes one."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HASH = re.compile(r"(md5|sha1|sha256|sha384|sha512):[0-9a-fA-F]{32,128}")


class Locked(Kept):
    """What one file says.

    Attributes:
        packages: with their versions.
        unlocked: dependencies whose versions it leaves open.
        elsewhere: dependencies that come from an address or a folder, not from a registry: nothing tells of them.
        notices: what else a reader should know.
    """

    packages: tuple[Package, ...] = ()
    unlocked: int = 0
    elsewhere: int = 0
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LockFile:
    """A file to be read.

    Attributes:
        path: below the service's folder.
        near: the content of another file by its path relative to this one's folder; None: there is none.
    """

    path: str
    content: bytes
    near: Callable[[str], bytes | None] = lambda _: None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def text(self) -> str:
        return decoded(self.content)

    def invalid(self, why: object) -> TerminalError:
        """The error for a file that cannot be read."""
        return TerminalError(f"{self.path} cannot be read: {why}"[:500], code=ErrorCode.SCAN_FAILED)

    def json(self) -> dict[str, Any]:
        """Raises `TerminalError` SCAN_FAILED."""
        try:
            return self._table(from_json(self.text.encode("utf-8", "replace")))
        except ValueError as error:
            raise self.invalid(f"it is no JSON ({error})") from None

    def toml(self) -> dict[str, Any]:
        """Raises `TerminalError` SCAN_FAILED."""
        try:
            return tomllib.loads(self.text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise self.invalid(f"it is no TOML ({error})") from None

    def yaml(self) -> dict[str, Any]:
        """Raises `TerminalError` SCAN_FAILED."""
        try:
            _check_yaml(self.text)
            return self._table(yaml.load(self.text, _LOADER))  # noqa: S506 - one of the safe loaders
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self.invalid(f"it is no YAML that is accepted here ({' '.join(str(error).split())})") from None

    def _table(self, told: Any) -> dict[str, Any]:
        if not isinstance(told, dict):
            raise self.invalid("it must be an object with keys")
        return told


class Collected:
    """Gathers the packages of one file, each once; what is no package's name or version is counted and left out."""

    def __init__(self, file: LockFile, ecosystem: Ecosystem) -> None:
        self._file = file
        self._ecosystem = ecosystem
        self._found: dict[tuple[str, str], Package] = {}
        self._odd = 0
        self.unlocked = 0
        self.elsewhere = 0
        self.notices: list[str] = []

    def add(self, name: object, version: object, *, development: bool = False, hashes: Iterable[object] = ()) -> None:
        """One package. A second time only tells that it is needed at run time, too.

        Raises:
            TerminalError: SCAN_FAILED: there are more than `MAX_PACKAGES`.
        """
        if not is_name(self._ecosystem, name) or not isinstance(version, str) or not _is_version(version):
            self._odd += 1
            return
        plain = normal_name(self._ecosystem, str(name))
        before = self._found.get((plain, version))
        if before is not None and (development or not before.development):
            return
        if len(self._found) >= MAX_PACKAGES:
            raise self._file.invalid(f"it has more than {MAX_PACKAGES} packages")
        self._found[plain, version] = Package(
            ecosystem=self._ecosystem,
            name=plain,
            version=version,
            path=self._file.path,
            development=development,
            hashes=_hashes(hashes),
        )

    def result(self) -> Locked:
        """All that was gathered."""
        odd = [f"{self._file.path}: {self._odd} entries are no packages with a version"] if self._odd else []
        return Locked(
            packages=tuple(self._found.values()),
            unlocked=self.unlocked,
            elsewhere=self.elsewhere,
            notices=(*self.notices, *odd),
        )


def tables(told: Any) -> Iterator[Mapping[str, Any]]:
    """The tables of a list; of anything else, none."""
    if isinstance(told, list):
        yield from (each for each in told if isinstance(each, dict))


def named(told: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables of a table with their keys."""
    if isinstance(told, dict):
        yield from ((str(key), value) for key, value in told.items() if isinstance(value, dict))


def table(told: Any) -> Mapping[str, Any]:
    """A table, or an empty one."""
    return told if isinstance(told, dict) else {}


def texts(told: Any) -> list[str]:
    """The texts of a list."""
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


def integrity(told: object) -> list[str]:
    """The hashes of a `sha512-<base64>` (Subresource Integrity), of which there may be several."""
    found = []
    for each in told.split()[:MAX_HASHES] if isinstance(told, str) else ():
        kind, _, encoded = each.partition("-")
        try:
            found.append(f"{kind}:{base64.b64decode(encoded.partition('?')[0], validate=True).hex()}")
        except (binascii.Error, ValueError):
            continue
    return found


def _check_yaml(text: str) -> None:
    """Raises `ValueError`. The loader goes down by recursion, in C; and what is named again may grow without end."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} times")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases, which no tool writes there")  # noqa: TRY004 - of a value


def _hashes(told: Iterable[object]) -> tuple[str, ...]:
    good = (each.lower() for each in told if isinstance(each, str) and _HASH.fullmatch(each))
    return tuple(sorted(dict.fromkeys(good)))[:MAX_HASHES]


def _is_version(text: str) -> bool:
    return 0 < len(text) <= MAX_VERSION and text.isprintable() and not text.isspace()
