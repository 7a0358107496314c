"""Which tests a change touches: by the mirrored path, by who imports what, and by the fixtures of a folder."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path, PurePosixPath

import grimp

# Minutes on the whole stack: `make test` has them.
TOO_LONG = ("tests/e2e/", "tests/fuzz/", "tests/isolation/", "tests/test_extending.py")


class Reason(IntEnum):
    """Why a test file is chosen; those that tell most come first."""

    CHANGED = 0
    MIRRORS = 1
    IMPORTS = 2
    MIRRORS_AN_IMPORTER = 3


def touched(changed: Iterable[str], root: Path, packages: Iterable[str], cache: Path) -> dict[str, Reason]:
    """Test files by path, with the best reason; the most telling first.

    Args:
        changed: paths from the root, with slashes; they exist.
        packages: the source's root packages.
        cache: folder that grimp keeps what it read in.
    """
    files = [path for path in changed if path.endswith(".py")]
    tests = {str(path.relative_to(root)): _imports(path) for path in sorted((root / "tests").rglob("test_*.py"))}
    sources = [_module(path) for path in files if not path.startswith("tests/")]
    helpers = [path for path in files if path.startswith("tests/") and path not in tests]
    found: dict[str, Reason] = {path: Reason.CHANGED for path in files if path in tests}
    for path in (each for module in sources for each in _mirrors(module, tests)):
        found.setdefault(path, Reason.MIRRORS)
    imported = {*sources, *_with_importers(helpers, root)}
    folders = [path.removesuffix("conftest.py") for path in helpers if path.endswith("/conftest.py")]
    for path, modules in tests.items():
        if imported & modules or any(path.startswith(folder) for folder in folders):
            found.setdefault(path, Reason.IMPORTS)
    for path in (each for module in _importers(sources, packages, cache) for each in _mirrors(module, tests)):
        found.setdefault(path, Reason.MIRRORS_AN_IMPORTER)
    return dict(sorted(found.items(), key=lambda pair: (pair[1], pair[0])))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports: of modules, and of what it takes from them, which may be modules too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return frozenset(names)


def _mirrors(module: str, tests: Iterable[str]) -> Iterator[str]:
    """Below the test folder of its package: the file named after it, or after the package it is in."""
    top, *_ = parts = module.split(".")
    wanted = {f"test_{part}.py" for part in parts[-2:]}
    home = "tests/" if len(parts) == 1 else f"tests/{top}/"
    yield from (path for path in tests if path.startswith(home) and PurePosixPath(path).name in wanted)


def _with_importers(helpers: Iterable[str], root: Path) -> set[str]:
    """Modules of the tests, and those that take from them: `tests.e2e.conftest` from `tests.support.platform`."""
    others = [path for path in (root / "tests").rglob("*.py") if not path.name.startswith("test_")]
    users: dict[str, set[str]] = defaultdict(set)
    for path in others:
        for name in _imports(path):
            users[name].add(_module(path.relative_to(root).as_posix()))
    found, waiting = set[str](), [_module(path) for path in helpers]
    while waiting:
        if (module := waiting.pop()) not in found:
            found.add(module)
            waiting += users[module]
    return found


def _importers(modules: Iterable[str], packages: Iterable[str], cache: Path) -> Iterator[str]:
    graph = grimp.build_graph(*packages, cache_dir=str(cache))
    known = [module for module in modules if module in graph.modules]
    for module in known:
        yield from sorted(graph.find_modules_that_directly_import(module))
