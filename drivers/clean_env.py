"""The environment of other people's code: nothing of the engine's, only what every program expects."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers import sandbox
from drivers.egress import inside
from drivers.place import Place

_STANDARD = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# The usual folders of language toolchains installed for all users of a machine.
_TOOLCHAINS = ("/usr/local/go/bin", "/usr/lib/go/bin", "/usr/local/cargo/bin", "/opt/node/bin", "/snap/bin")
# Variables with paths of certificates: a machine behind a TLS-intercepting proxy has its own CAs. No secrets.
CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
)
# Where installers without root put programs, below HOME. Instances see those of their build.
INSTALLED_PROGRAMS = (".local/bin", ".local/share/gem/bin", "go/bin", ".cargo/bin", ".bun/bin", ".deno/bin")


@dataclass(frozen=True)
class CodePath:
    """Folders to search for programs. Where they are hidden, `shown` are mounted again, read-only."""

    folders: tuple[str, ...]
    shown: tuple[Path, ...] = ()

    @classmethod
    def of(cls, setting: str, *, trusted: bool) -> "CodePath":
        """The operator's setting, separated by colons, or the usual folders.

        Siblings of `bin` are shown too (`lib`, `share`), but never a whole home folder.
        """
        folders = tuple(dict.fromkeys(filter(None, setting.split(":")))) or usual_path(trusted=trusted)
        chosen = [Path(folder) for folder in folders if setting or trusted]
        shown = [_toolchain(folder) for folder in chosen if folder.is_dir()]
        return cls(folders, (*shown, *_certificate_files()))


def _toolchain(folder: Path) -> Path:
    above = folder.parent
    alone = folder.name != "bin" or above.parent == Path("/") or above == Path.home() or above.parent == Path("/home")
    return folder if alone else above


def usual_path(*, trusted: bool) -> tuple[str, ...]:
    """The usual folders.

    The engine's own interpreter is first, so that `python3` is the same one on every machine. If code is trusted, the
    engine's PATH follows, without its virtual environment, whose packages are the engine's.
    """
    own = os.environ.get("PATH", "").split(os.pathsep) if trusted else []
    ours = {f"{sys.prefix}/bin"} if sys.prefix != sys.base_prefix else set()
    toolchains = [folder for folder in _TOOLCHAINS if os.path.isdir(folder)]  # noqa: PTH112 - strings are wanted
    others = [folder for folder in own if folder.startswith("/") and folder not in ours]
    return tuple(dict.fromkeys((f"{sys.base_prefix}/bin", *_STANDARD, *toolchains, *others)))


def _certificates() -> dict[str, str]:
    """The machine's own certificates, as far as they are in folders that all code can see."""
    hidden = tuple(f"{folder}/" for folder in sandbox.hides())
    given = {name: os.environ[name] for name in CERTIFICATES if name in os.environ}
    return {name: path for name, path in given.items() if path.startswith("/") and not path.startswith(hidden)}


def _certificate_files() -> list[Path]:
    """Those that isolated code does not see by default."""
    seen = sandbox.shows()
    given = dict.fromkeys(map(Path, _certificates().values()))
    return [path for path in given if path.exists() and not any(path.is_relative_to(place) for place in seen)]


def search_path(place: Place, folders: tuple[str, ...]) -> str:
    """PATH for code at that place: programs installed below its HOME, then `folders`."""
    return ":".join((*(f"{place.home}/{name}" for name in INSTALLED_PROGRAMS), *folders))


def code_environment(
    place: Place, path: str, given: Mapping[str, str], fixed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment. The repository's variables override our defaults, but not the variables that we must set.

    delivery.yaml may not set these (`domain.delivery_spec`), so that no variable is dropped silently.
    """
    defaults = {
        **_certificates(),
        "LANG": "C.UTF-8",
        # Makes installers use HOME, which is packaged for the instances: they cannot write to the system.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "NPM_CONFIG_PREFIX": f"{place.home}/.local",
        "GEM_HOME": f"{place.home}/.local/share/gem",
    }
    told = inside.environment(given) if place.proxied else {}
    return {**defaults, **given, **told, **(fixed or {}), "PATH": path, "HOME": place.home, "TMPDIR": place.tmp}
