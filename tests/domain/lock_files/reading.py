"""Lock files of tests."""

from functools import lru_cache
from pathlib import Path

from domain.lock_files.kinds import READERS, dependency_files
from domain.lock_files.reading import Locked, LockFile

SAMPLES = Path(__file__).with_name("samples")


@lru_cache
def read(folder: Path) -> dict[str, Locked]:
    """Every file of a folder that says something of dependencies."""
    paths = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: read_text((folder / path).read_bytes(), path, kind, folder) for path, kind in dependency_files(paths)}


def read_text(content: bytes | str, path: str, kind: str, folder: Path | None = None) -> Locked:
    def near(name: str) -> bytes | None:
        found = folder / Path(path).parent / name if folder else None
        return found.read_bytes() if found and found.is_file() else None

    raw = content.encode() if isinstance(content, str) else content
    return READERS[kind](LockFile(path, raw, near))


def told(locked: Locked) -> set[str]:
    """`name version`, with `dev` behind it."""
    return {f"{each.name} {each.version}{' dev' * each.development}" for each in locked.packages}
