"""Which test cases of a feature a test in a report is: by its name, or by the file it stands in.

Names are compared without regard to case and white space (NFKC). A test case's name may be

- the test's name in the report: `test_total`, `adds two numbers`; of a parametrised test also without its `[...]`
  or `(...)`: then all its variants together;
- the same after the name of its class (whole, or the last part) or of its suite, with `.`, ` `, `::`, `#`, `/` or
  ` > ` in between;
- without the suite's name before it, which jest-junit writes;
- the id that pytest gives it: `tests/test_cart.py::TestLimits::test_much`.

`automation_script_path` may be such an id, or name a file. Where both say their file, a test of that name in another
file is not this test case. If no name fits, all tests in that file are the test case together.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import NamedTuple

MAX_NAME = 1000
_SEPARATORS = (".", " ", "::", "#", "/", " > ")
_ENDING = 3
_MAX_PARTS = 20
_MAX_NESTED = 5


class KnownCase(NamedTuple):
    """A test case of a feature. `id`: whatever the caller knows it by."""

    id: str
    name: str
    script_path: str | None = None


@dataclass(frozen=True)
class Reported:
    """What a report says a test is called. `suite`: the innermost one's name; `file`: of the case, or of its suite."""

    name: str
    classname: str = ""
    suite: str = ""
    file: str = ""


def normal(name: str) -> str:
    """A name as it is compared; empty: too long to be one."""
    if len(name) > MAX_NAME:
        return ""
    plain = name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.split())


class Kind(StrEnum):
    """What a test in a report was found to be: a test case by name, the same in the file it names, or in a file."""

    NAME = "name"
    NAME_AND_FILE = "name_and_file"
    FILE = "file"


Key = tuple[Kind, int]


class CaseNames:
    """The names of a feature's test cases. Those of one name and one file are one to it."""

    def __init__(self, cases: Sequence[KnownCase]) -> None:
        self._groups: dict[tuple[str, str], int] = {}
        self._file_of: list[int | None] = []  # by group
        self._names: dict[str, set[int]] = defaultdict(set)
        self._files = _Files()
        self._stems = _Files()
        self._file_numbers: dict[str, int] = {}
        self._last: tuple[tuple[str, str], frozenset[int]] = (("", ""), frozenset())
        self._group_of = [self._group(case) for case in cases]
        # Most tests of a report are nobody's: those are told by the end of their names.
        self._endings = {name[-length:] for name in self._names for length in range(1, _ENDING + 1)}

    def keys_of(self, position: int) -> Iterator[Key]:
        """Under which keys the tests of a test case are, the best first: only the first that has any counts."""
        group = self._group_of[position]
        file = self._file_of[group]
        yield Kind.NAME_AND_FILE, group
        yield Kind.NAME, group
        if file is not None:
            yield Kind.FILE, file

    def find(self, test: Reported) -> Iterator[Key]:
        """The keys under which a test counts."""
        files = self._in_file(test) if self._file_numbers else frozenset()
        for file in files:
            yield Kind.FILE, file
        for group in self._named(test):
            file_of = self._file_of[group]
            if file_of in files:
                yield Kind.NAME_AND_FILE, group
            elif file_of is None or not test.file:
                yield Kind.NAME, group

    def _group(self, case: KnownCase) -> int:
        script = case.script_path or ""
        file = _path(script.partition("::")[0])
        names = {normal(case.name), _pytest_name(case.name), _pytest_name(script)} - {""}
        what = (normal(case.name), script)
        group = self._groups.setdefault(what, len(self._groups))
        if group == len(self._file_of):
            self._file_of.append(self._file(file) if file else None)
            for name in names:
                self._names[name].add(group)
        return group

    def _file(self, path: str) -> int:
        if path not in self._file_numbers:
            number = self._file_numbers[path] = len(self._file_numbers)
            self._files.add(path, number)
            self._stems.add(_stem(path), number)
        return self._file_numbers[path]

    def _named(self, test: Reported) -> set[int]:
        whole = normal(test.name)
        names = [name for name in _variants(whole) if name[-_ENDING:] in self._endings]
        if not names:
            return set()
        found = {group for name in names for group in self._names.get(name, ())}
        for before, name in product(_before(test.classname, test.suite), names):
            found.update(self._names.get(f"{before}{name}", ()))
        suite = normal(test.suite)
        if suite and whole.startswith(f"{suite} "):
            found.update(self._names.get(whole[len(suite) + 1 :], ()))
        return found

    def _in_file(self, test: Reported) -> frozenset[int]:
        key = (test.file, test.classname)
        if key != self._last[0]:  # tests of a class stand together
            file = _path(test.file)
            found = self._files.find(file) if file else self._by_class(test.classname)
            self._last = (key, frozenset(found))
        return self._last[1]

    def _by_class(self, classname: str) -> set[int]:
        """Python's and Java's classes stand in files of their names: `tests.test_cart.TestLimits`, `com.x.CartTest`."""
        if len(classname) > MAX_NAME:
            return set()
        parts = classname.partition("$")[0].split(".")
        found = self._stems.find(_path("/".join(parts)))
        for _ in range(_MAX_NESTED):
            if len(parts) > 1 and parts[-1][:1].isupper():
                parts.pop()
                found |= self._stems.find(_path("/".join(parts)))
        return found


class _Files:
    """Paths, found by others that end as they do, or as which they end: a report may name them from elsewhere."""

    def __init__(self) -> None:
        self._whole: dict[str, set[int]] = defaultdict(set)
        self._ends: dict[str, set[int]] = defaultdict(set)

    def add(self, path: str, position: int) -> None:
        self._whole[path].add(position)
        for end in _ends(path):
            self._ends[end].add(position)

    def find(self, path: str) -> set[int]:
        found = set(self._ends.get(path, ()))
        for end in _ends(path):
            found |= self._whole.get(end, set())
        return found


@lru_cache(maxsize=16)  # tests of a class stand together
def _before(classname: str, suite: str) -> tuple[str, ...]:
    """What may stand before a test's name."""
    whole, above = normal(classname), normal(suite)
    prefixes = {whole, whole.rpartition(".")[2], whole.replace("/", "."), above} - {""}
    return tuple(f"{prefix}{separator}" for prefix, separator in product(sorted(prefixes), _SEPARATORS))


def _ends(path: str) -> list[str]:
    parts = path.split("/")[-_MAX_PARTS:]
    return ["/".join(parts[at:]) for at in range(len(parts))]


def _path(text: str) -> str:
    if len(text) > 2 * MAX_NAME:
        return ""
    parts = text.strip().casefold().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _stem(path: str) -> str:
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    return f"{folder}/{stem}" if folder else stem


def _variants(name: str) -> tuple[str, ...]:
    """The name, and of a parametrised test that of the test: `single(int)[1]` is also `single(int)` and `single`."""
    found = [name] if name else []
    for begin, end in ("[]", "()"):
        if found and found[-1].endswith(end):
            bare = found[-1].rpartition(begin)[0]
            found.extend([bare] if bare and not bare[-1].isspace() else [])
    return tuple(found)


def _pytest_name(text: str) -> str:
    """`tests/test_cart.py::TestLimits::test_much` as reports say it: `tests.test_cart.testlimits.test_much`."""
    file, separator, rest = text.partition("::")
    if not separator or not rest:
        return ""
    return normal(".".join((*_stem(_path(file)).split("/"), *rest.split("::"))))
