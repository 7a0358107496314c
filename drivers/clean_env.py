"""The environment of other people's code: nothing of ours, only what every program expects."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers import sandbox
from drivers.egress import inside
from drivers.place import Place

_STANDARD = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# Where language toolchains are usually put for all users of a machine.
_TOOLCHAINS = ("/usr/local/go/bin", "/usr/lib/go/bin", "/usr/local/cargo/bin", "/opt/node/bin", "/snap/bin")
# Names of files with certificates: a machine behind a proxy that opens TLS has its own authorities. No secrets.
CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
)
# Where installers that are run without rights put programs, below HOME; a build's are there in its instances.
INSTALLED_PROGRAMS = (".local/bin", ".local/share/gem/bin", "go/bin", ".cargo/bin", ".bun/bin", ".deno/bin")


@dataclass(frozen=True)
class CodePath:
    """The folders that are searched for programs; where they are hidden, `shown` are brought back read-only."""

    folders: tuple[str, ...]
    shown: tuple[Path, ...] = ()

    @classmethod
    def of(cls, setting: str, *, trusted: bool) -> "CodePath":
        """What the operator set, separated by colons, or the usual places.

        What stands beside `bin` belongs to it (`lib`, `share`), but not all of somebody's home.
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
    """The usual places.

    It begins with the engine's own interpreter, so that `python3` is the same one on every machine. Where code is
    trusted the engine's own PATH follows, without its virtual environment: what is installed there is the engine's.
    """
    own = os.environ.get("PATH", "").split(os.pathsep) if trusted else []
    ours = {f"{sys.prefix}/bin"} if sys.prefix != sys.base_prefix else set()
    toolchains = [folder for folder in _TOOLCHAINS if os.path.isdir(folder)]  # noqa: PTH112 - strings are wanted
    others = [folder for folder in own if folder.startswith("/") and folder not in ours]
    return tuple(dict.fromkeys((f"{sys.base_prefix}/bin", *_STANDARD, *toolchains, *others)))


def _certificates() -> dict[str, str]:
    """The machine's own, as far as they lie where all code finds them."""
    hidden = tuple(f"{folder}/" for folder in sandbox.hides())
    given = {name: os.environ[name] for name in CERTIFICATES if name in os.environ}
    return {name: path for name, path in given.items() if path.startswith("/") and not path.startswith(hidden)}


def _certificate_files() -> list[Path]:
    """Those of them that isolated code does not see anyway."""
    seen = sandbox.shows()
    given = dict.fromkeys(map(Path, _certificates().values()))
    return [path for path in given if path.exists() and not any(path.is_relative_to(place) for place in seen)]


def search_path(place: Place, folders: tuple[str, ...]) -> str:
    """PATH as code at that place gets it: what was installed below its HOME, then `folders`."""
    return ":".join((*(f"{place.home}/{name}" for name in INSTALLED_PROGRAMS), *folders))


def code_environment(
    place: Place, path: str, given: Mapping[str, str], fixed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment: what the repository gives goes before our defaults, not before what we must set.

    Those names are refused in delivery.yaml (`domain.delivery_spec`), so that nothing given is dropped in silence.
    """
    defaults = {
        **_certificates(),
        "LANG": "C.UTF-8",
        # Installers put things below HOME, which goes along into the instances: the system is not theirs to change.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "NPM_CONFIG_PREFIX": f"{place.home}/.local",
        "GEM_HOME": f"{place.home}/.local/share/gem",
    }
    told = inside.environment(given) if place.proxied else {}
    return {**defaults, **given, **told, **(fixed or {}), "PATH": path, "HOME": place.home, "TMPDIR": place.tmp}
