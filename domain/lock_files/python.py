"""Lock files of Python: pip, pip-tools, Poetry, uv, Pipenv, PDM, and the standard one (PEP 751)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement

from domain.findings import Ecosystem
from domain.lock_files.reading import Collected, Locked, LockFile, named, table, tables, texts

MAX_LINE: Final = 64 * 1024
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"--hash[= ]([a-z0-9]+:[0-9a-fA-F]+)")
_OPTION = re.compile(r"\s--?[a-z-]+([= ]|$)")
_DEVELOPMENT = re.compile(
    r"(^|[-_./])(dev|develop|development|test|tests|testing|lint|docs?|ci)([-_./]|$)", re.IGNORECASE
)
_GROUPS: Final = frozenset(
    {"dev", "develop", "development", "test", "tests", "testing", "lint", "doc", "docs", "typing"}
)


def requirements(file: LockFile) -> Locked:
    """`requirements.txt`: lines `name==version`, with or without hashes; whatever else is not locked."""
    found = Collected(file, Ecosystem.PYPI)
    development = _DEVELOPMENT.search(file.path) is not None
    for line in _lines(file.text):
        if line.startswith("-") and not line.startswith(("-e", "--editable")):
            continue  # -r, -c: other files are read by themselves; --index-url and others
        if line.startswith(("-", ".", "/")) or "://" in line.partition("--hash")[0].partition(";")[0]:
            found.elsewhere += 1
        else:
            _requirement(found, line, development=development)
    return found.result()


def _lines(text: str) -> Iterator[str]:
    """Joined at a backslash, without comments."""
    parts: list[str] = []
    for raw in text.splitlines():
        line = _COMMENT.sub("", raw[:MAX_LINE]).strip()
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        if whole := " ".join([*parts, line]).strip():
            yield whole
        parts = []
    if whole := " ".join(parts).strip():
        yield whole


def _requirement(found: Collected, line: str, *, development: bool) -> None:
    option = _OPTION.search(line)
    try:
        read = Requirement(line[: option.start()] if option else line)
    except InvalidRequirement:
        found.add(None, None)
        return
    pins = [
        each.version for each in read.specifier if each.operator in ("==", "===") and not each.version.endswith(".*")
    ]
    if pins:
        found.add(read.name, pins[0], development=development, hashes=_HASH.findall(line))
    else:
        found.unlocked += 1


def poetry(file: LockFile) -> Locked:
    """`poetry.lock` of Poetry 1 and 2."""
    found, told = Collected(file, Ecosystem.PYPI), file.toml()
    older = table(table(told.get("metadata")).get("files"))
    for each in tables(told.get("package")):
        if _is_local(each):
            continue
        files = each.get("files") or older.get(str(each.get("name")))
        groups = texts(each.get("groups"))
        development = each.get("category") == "dev" or (bool(groups) and "main" not in groups)
        hashes = [one.get("hash") for one in tables(files)]
        found.add(each.get("name"), each.get("version"), development=development, hashes=hashes)
    return found.result()


def _is_local(package: Mapping[str, Any]) -> bool:
    return table(package.get("source")).get("type") in ("directory", "file")


def pdm(file: LockFile) -> Locked:
    """`pdm.lock`."""
    found = Collected(file, Ecosystem.PYPI)
    for each in tables(file.toml().get("package")):
        if "path" in each:
            continue
        groups = set(texts(each.get("groups")))
        hashes = [one.get("hash") for one in tables(each.get("files"))]
        found.add(each.get("name"), each.get("version"), development=bool(groups) and groups <= _GROUPS, hashes=hashes)
    return found.result()


def uv(file: LockFile) -> Locked:
    """`uv.lock`. What only dependency groups lead to is there for development."""
    found = Collected(file, Ecosystem.PYPI)
    packages = list(tables(file.toml().get("package")))
    needed = _needed(packages)
    for each in packages:
        source = table(each.get("source"))
        if source.keys() & {"virtual", "editable", "directory", "path"}:
            continue
        files = [each.get("sdist"), *tables(each.get("wheels"))]
        hashes = [one.get("hash") for one in files if isinstance(one, dict)]
        found.add(each.get("name"), each.get("version"), development=each.get("name") not in needed, hashes=hashes)
    return found.result()


def _needed(packages: list[Mapping[str, Any]]) -> set[str]:
    """Names of what the projects in the tree need at run time, directly or through others."""
    leads: dict[str, set[str]] = {}
    ahead: list[str] = []
    for each in packages:
        name = str(each.get("name"))
        extras = table(each.get("optional-dependencies")).values()
        lists = [each.get("dependencies"), *extras]
        leads.setdefault(name, set()).update(str(one.get("name")) for told in lists for one in tables(told))
        if table(each.get("source")).keys() & {"virtual", "editable", "directory"}:
            ahead.append(name)
    needed: set[str] = set()
    while ahead:
        name = ahead.pop()
        if name not in needed:
            needed.add(name)
            ahead.extend(leads.get(name, ()))
    return needed


def pipfile(file: LockFile) -> Locked:
    """`Pipfile.lock`."""
    found, told = Collected(file, Ecosystem.PYPI), file.json()
    for section, entries in told.items():
        if section == "_meta":
            continue
        for name, each in named(entries):
            version = each.get("version")
            if isinstance(version, str):
                pinned = version.lstrip("=").strip()
                found.add(name, pinned, development=section == "develop", hashes=texts(each.get("hashes")))
            else:  # from an address or a folder
                found.elsewhere += 1
    return found.result()


def pylock(file: LockFile) -> Locked:
    """`pylock.toml`, `pylock.NAME.toml` (PEP 751)."""
    found = Collected(file, Ecosystem.PYPI)
    for each in tables(file.toml().get("packages")):
        if "version" not in each or "directory" in each:
            found.elsewhere += 1
            continue
        files = [each.get("sdist"), each.get("archive"), *tables(each.get("wheels"))]
        hashes = [f"{kind}:{one}" for told in files for kind, one in table(table(told).get("hashes")).items()]
        found.add(each.get("name"), each.get("version"), hashes=hashes)
    return found.result()


def pyproject(file: LockFile) -> Locked:
    """`pyproject.toml` without a lock file: how many dependencies nobody has locked."""
    told = file.toml()
    poetry_s = table(table(told.get("tool")).get("poetry")).get("dependencies")
    count = len(texts(table(told.get("project")).get("dependencies")))
    return Locked(unlocked=count + len(table(poetry_s).keys() - {"python"}))


def pipfile_alone(file: LockFile) -> Locked:
    """`Pipfile` without a lock file."""
    return Locked(unlocked=len(table(file.toml().get("packages"))))


def setup(file: LockFile) -> Locked:
    """`setup.py`, `setup.cfg` without a lock file: what a program names cannot be counted."""
    if "install_requires" not in file.text:
        return Locked()
    return Locked(notices=(f"{file.path}: the versions of its dependencies are not locked",))
