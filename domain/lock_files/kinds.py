"""Which files of a tree say what its dependencies are, and how each is read."""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from domain.lock_files import golang, java, node, python
from domain.lock_files.reading import Locked, LockFile


class Kind(StrEnum):
    """A format."""

    REQUIREMENTS = "requirements"
    POETRY = "poetry"
    UV = "uv"
    PDM = "pdm"
    PIPFILE = "pipfile"
    PYLOCK = "pylock"
    NPM = "npm"
    YARN = "yarn"
    PNPM = "pnpm"
    GO = "go"
    GRADLE = "gradle"
    MAVEN_LOCK = "maven_lock"
    POM = "pom"
    PYPROJECT = "pyproject"
    PIPFILE_ALONE = "pipfile_alone"
    SETUP = "setup"
    PACKAGE_JSON = "package_json"
    GRADLE_BUILD = "gradle_build"


READERS: Final[dict[Kind, Callable[[LockFile], Locked]]] = {
    Kind.REQUIREMENTS: python.requirements,
    Kind.POETRY: python.poetry,
    Kind.UV: python.uv,
    Kind.PDM: python.pdm,
    Kind.PIPFILE: python.pipfile,
    Kind.PYLOCK: python.pylock,
    Kind.NPM: node.npm,
    Kind.YARN: node.yarn,
    Kind.PNPM: node.pnpm,
    Kind.GO: golang.modules,
    Kind.GRADLE: java.gradle,
    Kind.MAVEN_LOCK: java.maven_lock,
    Kind.POM: java.pom,
    Kind.PYPROJECT: python.pyproject,
    Kind.PIPFILE_ALONE: python.pipfile_alone,
    Kind.SETUP: python.setup,
    Kind.PACKAGE_JSON: node.manifest,
    Kind.GRADLE_BUILD: java.gradle_build,
}
_LOCKS: Final = {
    "poetry.lock": Kind.POETRY,
    "uv.lock": Kind.UV,
    "pdm.lock": Kind.PDM,
    "Pipfile.lock": Kind.PIPFILE,
    "package-lock.json": Kind.NPM,
    "npm-shrinkwrap.json": Kind.NPM,
    "yarn.lock": Kind.YARN,
    "pnpm-lock.yaml": Kind.PNPM,
    "go.mod": Kind.GO,
    "gradle.lockfile": Kind.GRADLE,
    "buildscript-gradle.lockfile": Kind.GRADLE,
    "dependencies-lock.json": Kind.MAVEN_LOCK,
}
_PATTERNS: Final = (
    (re.compile(r"([^/]*[-_.])?requirements([-_.][^/]*)?\.txt"), Kind.REQUIREMENTS),
    (re.compile(r"pylock(\.[^/.]+)?\.toml"), Kind.PYLOCK),
)
_PYTHON: Final = frozenset({Kind.REQUIREMENTS, Kind.POETRY, Kind.UV, Kind.PDM, Kind.PIPFILE, Kind.PYLOCK})
_NODE: Final = frozenset({Kind.NPM, Kind.YARN, Kind.PNPM})
# What only counts, and the locks that make it needless, in its folder or (of a workspace) in one around it.
_MANIFESTS: Final = {
    "pyproject.toml": (Kind.PYPROJECT, _PYTHON),
    "Pipfile": (Kind.PIPFILE_ALONE, _PYTHON),
    "setup.py": (Kind.SETUP, _PYTHON | {Kind.PYPROJECT}),
    "setup.cfg": (Kind.SETUP, _PYTHON | {Kind.PYPROJECT}),
    "package.json": (Kind.PACKAGE_JSON, _NODE),
    "pom.xml": (Kind.POM, frozenset({Kind.MAVEN_LOCK})),
    "build.gradle": (Kind.GRADLE_BUILD, frozenset({Kind.GRADLE})),
    "build.gradle.kts": (Kind.GRADLE_BUILD, frozenset({Kind.GRADLE})),
}
OTHERS: Final = frozenset(
    {
        *("Cargo.lock", "Gemfile.lock", "composer.lock", "mix.lock", "packages.lock.json", "Package.resolved"),
        *("pubspec.lock", "bun.lock", "bun.lockb", "deno.lock", "conda-lock.yml", "Podfile.lock", "stack.yaml.lock"),
    }
)
"""Lock files of which nothing is known here."""
_LEFT_OUT: Final = frozenset({"node_modules", "vendor", "site-packages"})


def dependency_files(paths: Iterable[str]) -> list[tuple[str, Kind]]:
    """Those to be read of a tree's files: locks, and manifests that have none."""
    seen = [path for path in paths if _is_own(path)]
    names = {path: path.rpartition("/")[2] for path in seen}
    found = {path: kind for path in seen if (kind := _lock(path, names[path], names)) is not None}
    places = {(path.rpartition("/")[0], kind) for path, kind in found.items()}
    for path in seen:
        kind, locks = _MANIFESTS.get(names[path], (None, frozenset()))
        if kind is not None and not _has(path, locks, places):
            found[path] = kind
    return sorted(found.items())


def other_locks(paths: Iterable[str]) -> list[str]:
    """Lock files that are not read."""
    return sorted(path for path in paths if _is_own(path) and path.rpartition("/")[2] in OTHERS)


def _lock(path: str, name: str, names: Sequence[str] | dict[str, str]) -> Kind | None:
    if name == "lockfile.json":  # a name that may mean anything
        return Kind.MAVEN_LOCK if f"{path.removesuffix(name)}pom.xml" in names else None
    if name in _LOCKS:
        return _LOCKS[name]
    folder = PurePosixPath(path).parent.name
    if folder == "requirements" and name.endswith(".txt"):
        return Kind.REQUIREMENTS
    return next((kind for pattern, kind in _PATTERNS if pattern.fullmatch(name)), None)


def _has(path: str, kinds: frozenset[Kind], places: set[tuple[str, Kind]]) -> bool:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if any((folder, kind) in places for kind in kinds):
            return True
    return False


def _is_own(path: str) -> bool:
    parts = path.split("/")[:-1]
    return not any(part in _LEFT_OUT or part.startswith(".") for part in parts)
