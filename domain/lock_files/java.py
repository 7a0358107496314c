"""Java: `gradle.lockfile`, lock files of Maven's plugins, and `pom.xml` as far as it says versions itself."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from domain.findings import Ecosystem
from domain.lock_files.reading import Collected, Locked, LockFile, integrity, tables
from domain.package_versions.parsing import MAX_VERSION

MAX_PARENTS: Final = 5
MAX_ROUNDS: Final = 10
_PROPERTY = re.compile(r"\$\{([^${}]{1,200})\}")
_OPEN = re.compile(r"[\[(,]|\$\{|^(LATEST|RELEASE)$")
_GRADLE_DEPENDENCY = re.compile(
    r"""^\s*(api|implementation|compile|compileOnly|runtimeOnly|kapt|annotationProcessor)\b.*["'][^"'\s]+:[^"'\s]+["']"""
)
_DIRECT: Final = (
    "{}: it names direct dependencies only; theirs are not known without a lock file (gradle.lockfile, "
    "dependencies-lock.json, lockfile.json)"
)


def gradle(file: LockFile) -> Locked:
    """`gradle.lockfile`: lines `group:artifact:version=configurations`."""
    found = Collected(file, Ecosystem.MAVEN)
    for line in file.text.splitlines():
        coordinates, equals, configurations = line.strip().partition("=")
        if not equals or coordinates.startswith("#") or coordinates == "empty":
            continue
        name, _, version = coordinates.rpartition(":")
        names = configurations.split(",")
        found.add(name, version, development=all("test" in each.lower() for each in names))
    return found.result()


def gradle_build(file: LockFile) -> Locked:
    """`build.gradle` without a lock file: it is a program, so its dependencies can only be counted."""
    return Locked(unlocked=sum(_GRADLE_DEPENDENCY.match(line[:1000]) is not None for line in file.text.splitlines()))


def maven_lock(file: LockFile) -> Locked:
    """`dependencies-lock.json` (dependency-lock-maven-plugin) and `lockfile.json` (maven-lockfile)."""
    found, told = Collected(file, Ecosystem.MAVEN), file.json()
    for each in _artifacts([*tables(told.get("artifacts")), *tables(told.get("dependencies"))]):
        development = each.get("scope") == "test"
        hashes = [*integrity(str(each.get("integrity", "")).replace(":", "-", 1)), _checksum(each)]
        found.add(
            f"{each.get('groupId')}:{each.get('artifactId')}",
            each.get("version"),
            development=development,
            hashes=hashes,
        )
    return found.result()


def _artifacts(ahead: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    while ahead:
        each = ahead.pop()
        if each.get("included") is not False:  # another version of it was selected
            yield each
        ahead.extend(tables(each.get("children")))


def _checksum(told: Mapping[str, Any]) -> str:
    return f"{str(told.get('checksumAlgorithm', '')).replace('-', '').lower()}:{told.get('checksum', '')}"


def pom(file: LockFile) -> Locked:
    """`pom.xml`: direct dependencies, with the properties and the management that it and its parents here have."""
    found = Collected(file, Ecosystem.MAVEN)
    chain = list(_chain(file))
    properties = _properties(chain)
    managed = dict(_managed(chain, properties))
    own = list(_dependencies(chain[0], "dependencies"))
    for each in own:
        name, version, scope = _coordinates(each, properties)
        version = version or managed.get(name, "")
        if not version or _OPEN.search(version):
            found.unlocked += 1
        elif scope != "system":
            found.add(name, version, development=scope == "test")
    if own:
        found.notices.append(_DIRECT.format(file.path))
    return found.result()


def _chain(file: LockFile) -> Iterator[Element]:
    """The project, its parent, the parent's parent: as far as they are in this tree."""
    here, folder = _project(file, file.content), ""
    yield here
    for _ in range(MAX_PARENTS):
        parent = here.find("parent")
        if parent is None:
            return
        relative = parent.find("relativePath")
        path = "../pom.xml" if relative is None else _text(relative)
        if not path:
            return
        path = path if path.endswith(".xml") else f"{path}/pom.xml"
        content = file.near(f"{folder}{path}")
        if content is None:
            return
        folder = f"{folder}{path.rpartition('/')[0]}/"
        here = _project(file, content)
        yield here


def _project(file: LockFile, content: bytes) -> Element:
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise file.invalid(f"it is no XML that is accepted here ({error or type(error).__name__})") from None
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def _properties(chain: list[Element]) -> dict[str, str]:
    """Of the nearest; besides them what Maven says of the project itself."""
    told: dict[str, str] = {}
    for project in reversed(chain):
        told.update({str(each.tag): _text(each)[:MAX_VERSION] for each in project.iterfind("properties/*")})
    for name in ("groupId", "version", "artifactId"):
        value = _text(chain[0].find(name)) or _text(chain[0].find(f"parent/{name}"))
        told |= {
            f"project.{name}": value,
            f"pom.{name}": value,
            f"project.parent.{name}": _text(chain[0].find(f"parent/{name}")),
        }
    return told


def _managed(chain: list[Element], properties: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for project in reversed(chain):
        for each in _dependencies(project, "dependencyManagement/dependencies"):
            name, version, scope = _coordinates(each, properties)
            if scope != "import":  # a list in another project
                yield name, version


def _dependencies(project: Element, where: str) -> Iterator[Element]:
    yield from project.iterfind(f"{where}/dependency")


def _coordinates(dependency: Element, properties: Mapping[str, str]) -> tuple[str, str, str]:
    """`group:artifact`, version, scope."""
    group, artifact, version, scope = (
        _resolved(_text(dependency.find(name)), properties) for name in ("groupId", "artifactId", "version", "scope")
    )
    return f"{group}:{artifact}", version, scope


def _resolved(text: str, properties: Mapping[str, str]) -> str:
    for _ in range(MAX_ROUNDS):
        if len(text) > 1000 or "${" not in text:  # noqa: PLR2004 - properties that grow by naming each other
            break
        text = _PROPERTY.sub(lambda match: properties.get(match[1], match[0]), text)
    return text


def _text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""
