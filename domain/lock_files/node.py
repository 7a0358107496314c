"""Lock files of Node: npm, Yarn (classic and berry), pnpm."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from domain.findings import Ecosystem
from domain.lock_files.reading import Collected, Locked, LockFile, integrity, named, table

_INSTALLED: Final = "node_modules/"
_ELSEWHERE: Final = ("file:", "link:", "git", "http:", "https:", "workspace:", "portal:", "exec:", "github:")
_PNPM_5 = re.compile(r"/((?:@[^/@]+/)?[^/@]+)/([^/_(]+)")
_NAME_AT_VERSION = re.compile(r"/?((?:@[^/@]+/)?[^/@]+)@([^(]+)")


def npm(file: LockFile) -> Locked:
    """`package-lock.json` of versions 1, 2 and 3, `npm-shrinkwrap.json`."""
    found, told = Collected(file, Ecosystem.NPM), file.json()
    if isinstance(told.get("packages"), dict):
        for place, each in named(told["packages"]):
            _npm_package(found, place, each)
    else:
        for name, each in _nested(told.get("dependencies")):
            _npm_dependency(found, name, each)
    return found.result()


def _npm_package(found: Collected, place: str, told: Mapping[str, Any]) -> None:
    """By where it is installed; folders of the project itself, and links to them, are no packages."""
    if _INSTALLED not in place or told.get("link"):
        return
    name = told.get("name") or place.rpartition(_INSTALLED)[2]
    development = bool(told.get("dev"))  # `devOptional`: it is installed without development, too
    if str(told.get("resolved", "")).startswith("file:") or "version" not in told:
        found.elsewhere += 1
    else:
        found.add(name, told.get("version"), development=development, hashes=integrity(told.get("integrity")))


def _nested(told: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    ahead = [told]
    while ahead:
        for name, each in named(ahead.pop()):
            yield name, each
            ahead.append(each.get("dependencies"))


def _npm_dependency(found: Collected, name: str, told: Mapping[str, Any]) -> None:
    version = told.get("version")
    if isinstance(version, str) and version.startswith("npm:"):  # under another name
        name, _, version = version.removeprefix("npm:").rpartition("@")
    if isinstance(version, str) and version.startswith(_ELSEWHERE):
        found.elsewhere += 1
        return
    development = bool(told.get("dev"))
    found.add(name, version, development=development, hashes=integrity(told.get("integrity")))


def yarn(file: LockFile) -> Locked:
    """`yarn.lock`: a format of its own, or YAML since Yarn 2. Neither says what is for development only."""
    return _berry(file) if "__metadata:" in file.text else _classic(file)


def _classic(file: LockFile) -> Locked:
    found = Collected(file, Ecosystem.NPM)
    for asked, fields in _blocks(file.text):
        name, version = _specifier(asked)
        if version.startswith("npm:"):  # under another name
            name, version = _specifier(version.removeprefix("npm:"))
        if version.startswith(_ELSEWHERE):
            found.elsewhere += 1
        else:
            found.add(name, fields.get("version"), hashes=integrity(fields.get("integrity")))
    return found.result()


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The first of the things asked for, and the fields below it."""
    asked: str | None = None
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            if asked is not None:
                yield asked, fields
            asked, fields = line.rstrip(":").split(", ")[0].strip('"'), {}
        elif not line.startswith("   "):
            key, _, value = line.strip().partition(" ")
            fields[key.strip('"')] = value.strip().strip('"')
    if asked is not None:
        yield asked, fields


def _specifier(text: str) -> tuple[str, str]:
    """`name@range`; a name may begin with @."""
    at = text.find("@", 1)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def _berry(file: LockFile) -> Locked:
    found = Collected(file, Ecosystem.NPM)
    for key, each in named(file.yaml()):
        if key == "__metadata":
            continue
        name, source = _specifier(str(each.get("resolution", "")))
        if source.startswith("workspace:"):
            continue
        if source.startswith(("npm:", "patch:")):
            found.add(name, str(each.get("version")))
        else:
            found.elsewhere += 1
    return found.result()


def pnpm(file: LockFile) -> Locked:
    """`pnpm-lock.yaml` of versions 5 to 9."""
    found, told = Collected(file, Ecosystem.NPM), file.yaml()
    needed = _needed(told) if "snapshots" in told else None
    for key, each in named(told.get("packages")):
        match = _NAME_AT_VERSION.fullmatch(key.partition("(")[0]) or _PNPM_5.match(key)
        resolution = table(each.get("resolution"))
        name, version = each.get("name"), each.get("version")
        if match:
            name, version = name or match[1], version or match[2]
        if "directory" in resolution or "repo" in resolution or str(version).startswith(_ELSEWHERE) or version is None:
            found.elsewhere += 1
            continue
        development = bool(each.get("dev")) if needed is None else key not in needed
        found.add(name, str(version), development=development, hashes=integrity(resolution.get("integrity")))
    return found.result()


def _needed(told: Mapping[str, Any]) -> set[str]:
    """Keys of packages that are needed at run time, directly or through others."""
    snapshots = table(told.get("snapshots"))
    ahead = [
        (name, str(each.get("version")))
        for _, importer in named(told.get("importers"))
        for kind in ("dependencies", "optionalDependencies")
        for name, each in named(importer.get(kind))
    ]
    needed: set[str] = set()
    seen: set[str] = set()
    while ahead:
        name, version = ahead.pop()
        # An alias says the whole key.
        key = version if version in snapshots else f"{name}@{version}"
        if key in seen:
            continue
        seen.add(key)
        needed.add(key.partition("(")[0])
        each = table(snapshots.get(key))
        for kind in ("dependencies", "optionalDependencies"):
            ahead.extend((str(name), str(version)) for name, version in table(each.get(kind)).items())
    return needed


def manifest(file: LockFile) -> Locked:
    """`package.json` without a lock file: how many dependencies nobody has locked."""
    told = file.json()
    return Locked(unlocked=sum(len(table(told.get(kind))) for kind in ("dependencies", "optionalDependencies")))
