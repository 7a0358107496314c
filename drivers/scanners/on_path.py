"""Scanners that an operator installs: found on the PATH, with their databases or rules in a folder of the operator's.

None of them reaches a network: what it compares with is in `DELIVERY_SCANNER_DATA/<name>`, which the operator keeps
current. Files in the tree that would configure it, or have it leave findings out, are overruled.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from drivers.scanners.base import Report, ScannerFaultError, Sources
from drivers.scanners.process import Command, ToolLimits, ToolProcesses
from drivers.scanners.readers.dependencies import read_grype, read_osv_scanner, read_trivy
from drivers.scanners.readers.govulncheck import read_govulncheck
from drivers.scanners.readers.semgrep import read_semgrep
from drivers.scanners.tools import Reader

# What tells of dependencies, by the last part of a path.
MANIFESTS: Final = (
    *("requirements.txt", "poetry.lock", "Pipfile.lock", "pdm.lock", "uv.lock", "pylock.toml"),
    *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
    *("go.mod", "go.sum", "pom.xml", "gradle.lockfile", "buildscript-gradle.lockfile"),
    *("Gemfile.lock", "Cargo.lock", "composer.lock", "packages.lock.json", "mix.lock", "pubspec.lock"),
)
_CONFIGURED: Final = (".yaml", ".yml", ".tf", ".json", "dockerfile", "containerfile")
_SOURCES: Final = (
    *(".py", ".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".go", ".java", ".kt", ".rb", ".php", ".cs", ".c", ".h"),
    *(".cc", ".cpp", ".hpp", ".rs", ".scala", ".swift", ".sh", ".bash", ".html", ".yaml", ".yml", ".json", ".tf"),
)
_MOST_WORDS = 1_000_000  # bytes of paths on a command line; the kernel takes 2 MiB
_LARGE = ToolLimits(processes=256, disk_mb=1024)
# Version 1, and what is in version 2.
_OSV_DATABASES: Final = ("OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY", "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY")
# None of these talks to its maker.
_QUIET: Final = {
    "SEMGREP_SEND_METRICS": "off",
    "SEMGREP_ENABLE_VERSION_CHECK": "0",
    "GRYPE_CHECK_FOR_APP_UPDATE": "false",
    "TRIVY_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Recipe:
    """How a tool is called.

    Attributes:
        name: of the tool, its program and its folder of data.
        suits: see `Scanner`.
        command: for a tree, by the program and the folder of data.
        read: makes findings of what it wrote.
    """

    name: str
    suits: Callable[[Sources], bool]
    command: Callable[[Sources, str, Path], Command]
    read: Callable[..., Report]


class OnPath:
    """One of `RECIPES`, where it is installed."""

    def __init__(self, recipe: Recipe, processes: ToolProcesses, reader: Reader, data: Path | None) -> None:
        self.name = recipe.name
        self._recipe = recipe
        self._processes = processes
        self._reader = reader
        self._data = data / recipe.name if data else None
        self._program = _program(recipe.name, processes.path)

    @property
    def at_hand(self) -> bool:
        """Whether program and data are there."""
        return self._program is not None and self._data is not None and self._data.is_dir()

    def suits(self, sources: Sources) -> bool:
        return self._recipe.suits(sources)

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        if self._program is None:
            raise ScannerFaultError("is not on the PATH of the worker")
        if self._data is None or not self._data.is_dir():
            raise ScannerFaultError(f"has no data: put them into the folder {self.name} of DELIVERY_SCANNER_DATA")
        data = self._data.resolve()
        command = self._recipe.command(sources, str(self._program), data)
        command = replace(
            command,
            readable=(data, *_belongings(self._program), *command.readable),
            env={**_QUIET, **command.env},
            limits=_LARGE,
        )
        ran = await self._processes.run(command, sources, timeout_s=timeout_s)
        report = await self._reader.read(self._recipe.read, ran)
        return report.model_copy(update={"notices": (*report.notices, *command.notices)})


def _program(name: str, folders: tuple[str, ...]) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *folders)))
    return Path(found) if found else None


def _belongings(program: Path) -> tuple[Path, ...]:
    """The program's file, and for a script in an environment of its own (`pipx`) that environment."""
    real = program.resolve()
    environment = real.parent.parent
    return (environment, program) if (environment / "pyvenv.cfg").is_file() else (real, program)


def _with_manifests(sources: Sources) -> bool:
    return bool(sources.named(*MANIFESTS))


def _osv_scanner(sources: Sources, program: str, data: Path) -> Command:
    """`osv-scanner.toml` in the tree would ignore findings: the empty one goes before."""
    del sources
    return Command(
        tool="osv-scanner",
        argv=(program, "scan", "source", "--format=json", "--offline", "--config={state}/config.toml", "-r", "."),
        fine=frozenset({0, 1, 128}),  # 1: it found something; 128: it found no packages
        env=dict.fromkeys(_OSV_DATABASES, str(data)),
        files={"config.toml": b""},
        talks=True,
    )


def _grype(sources: Sources, program: str, data: Path) -> Command:
    """`.grype.yaml` in the tree would ignore findings: the empty one goes before."""
    del sources
    return Command(
        tool="grype",
        argv=(program, "dir:.", "--output=json", "--config={state}/config.yaml", "--quiet"),
        env={
            "GRYPE_DB_CACHE_DIR": str(data),
            "GRYPE_DB_AUTO_UPDATE": "false",
            "GRYPE_DB_VALIDATE_AGE": "false",
            "GRYPE_CHECK_FOR_APP_UPDATE": "false",
        },
        files={"config.yaml": b"{}\n"},
        talks=True,
    )


def _trivy(sources: Sources, program: str, data: Path) -> Command:
    """`trivy.yaml` and `.trivyignore` in the tree would leave findings out: the empty ones go before."""
    del sources
    return Command(
        tool="trivy",
        argv=(
            *(program, "filesystem", "--format=json", "--scanners=vuln,misconfig", "--offline-scan", "--quiet"),
            *("--skip-db-update", "--skip-java-db-update", "--skip-check-update", f"--cache-dir={data}"),
            *("--config={state}/config.yaml", "--ignorefile={state}/ignored", "."),
        ),
        files={"config.yaml": b"{}\n", "ignored": b""},
        talks=True,
    )


def _govulncheck(sources: Sources, program: str, data: Path) -> Command:
    """It compiles nothing, but loads the module with `go`, and so needs its dependencies: those that the build fetched.

    The toolchain that go.mod asks for is not fetched, and no C compiler is run.
    """
    root = sources.order.root or sources.tree
    modules = root.with_name(f"{root.name}.private") / "home" / "go" / "pkg" / "mod"  # PrivateFolders of the build
    fetched = modules.is_dir() and not modules.is_symlink()
    return Command(
        tool="govulncheck",
        argv=(program, "-format=json", f"-db=file://{data}", "./..."),
        env={
            "GOPROXY": "off",
            "GOSUMDB": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
            "GOCACHE": "{tmp}/go-build",
            "GOTELEMETRY": "off",
            "GOENV": "off",
            "GOWORK": "off",
            **({"GOMODCACHE": str(modules.resolve())} if fetched else {}),
        },
        readable=(modules,) if fetched else (),
        talks=True,
    )


def _semgrep(sources: Sources, program: str, data: Path) -> Command:
    """`.semgrepignore` in the tree would leave files out: files that are named are looked at all the same."""
    every = sources.ending(*_SOURCES)
    files: list[str] = []
    room = _MOST_WORDS
    for path in every:
        room -= len(path.encode()) + 3
        if room < 0:
            break
        files.append(f"./{path}")
    return Command(
        tool="semgrep",
        argv=(
            *(program, "scan", f"--config={data}", "--json", "--quiet", "--metrics=off", "--disable-version-check"),
            *("--no-git-ignore", "--disable-nosem", "--jobs=1", "--"),
        ),
        paths=tuple(files),
        notices=(f"semgrep: {len(every)} files, of which the first {len(files)} were looked at",)
        if len(files) < len(every)
        else (),
        fine=frozenset({0, 1}),
    )


RECIPES: Final = (
    Recipe("semgrep", lambda sources: bool(sources.ending(*_SOURCES)), _semgrep, read_semgrep),
    Recipe("trivy", lambda sources: _with_manifests(sources) or bool(sources.ending(*_CONFIGURED)), _trivy, read_trivy),
    Recipe("grype", _with_manifests, _grype, read_grype),
    Recipe("osv-scanner", _with_manifests, _osv_scanner, read_osv_scanner),
    Recipe("govulncheck", lambda sources: "go.mod" in sources.files, _govulncheck, read_govulncheck),
)
