"""A real Prometheus server for the tests: found on PATH, in `.build/`, or unpacked from the distribution's package."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import httpx2
import pytest

from tests.support.services import free_port

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".build" / "prometheus"
UNPACKED = CACHE / "usr" / "bin" / "prometheus"
GET_LIMIT_S = 60.0
UNPACK_LIMIT_S = 120.0
START_LIMIT_S = 120.0


class UnavailableError(Exception):
    """There is no Prometheus here; says what was tried."""


def prometheus_or_skip() -> Path:
    """The program; without it the tests that need it are skipped."""
    found = _found_once()
    if isinstance(found, Path):
        return found
    pytest.skip(found)


@lru_cache(maxsize=1)
def _found_once() -> Path | str:
    """The program, or why there is none: the search may take a minute, so it is not made again."""
    try:
        return find_prometheus()
    except (UnavailableError, OSError) as error:
        return f"no Prometheus server: {error}"


def find_prometheus() -> Path:
    """A program that runs."""
    on_path = shutil.which("prometheus")
    if on_path and _runs(Path(on_path)):
        return Path(on_path)
    CACHE.parent.mkdir(exist_ok=True)
    with (CACHE.parent / "prometheus.lock").open("w") as lock:  # one test run gets it, others wait for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _runs(UNPACKED):
            _unpack_package()
    if not _runs(UNPACKED):
        raise UnavailableError(f"no prometheus on PATH, and that of the package, {UNPACKED}, does not run")
    return UNPACKED


def _runs(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _unpack_package() -> None:
    """Without root: the package is downloaded and unpacked, not installed."""
    tried = f"no prometheus on PATH or in {CACHE}"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise UnavailableError(f"{tried}, and no apt-get and dpkg-deb to get its package with")
    with tempfile.TemporaryDirectory(prefix="prometheus-") as folder:
        found = _downloaded(Path(folder), tried)
        fresh = Path(folder) / "unpacked"
        _run(["dpkg-deb", "-x", str(found), str(fresh)], Path(folder), tried, UNPACK_LIMIT_S)
        shutil.rmtree(CACHE, ignore_errors=True)
        program = fresh / "usr" / "bin" / "prometheus"
        UNPACKED.parent.mkdir(parents=True)
        shutil.copy2(program, UNPACKED)


def _downloaded(folder: Path, tried: str) -> Path:
    """The package, by the machine's own lists; where they are empty by lists of our own."""
    ours = ["-o", "APT::Sandbox::User=root", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
    deadline = time.monotonic() + GET_LIMIT_S
    for options, prepare in (([], False), (ours, True)):
        try:
            if prepare:
                (folder / "lists" / "partial").mkdir(parents=True)
                (folder / "archives" / "partial").mkdir(parents=True)
                _run(["apt-get", *options, "update"], folder, tried, deadline - time.monotonic())
            _run(["apt-get", *options, "download", "prometheus"], folder, tried, deadline - time.monotonic())
        except UnavailableError as error:
            tried = str(error)
        if packages := list(folder.glob("prometheus_*.deb")):
            return packages[0]
    raise UnavailableError(tried)


def _run(command: list[str], folder: Path, tried: str, limit_s: float) -> None:
    words = " ".join(word for word in command if not word.startswith(("-", "Dir::", "APT::")))
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=max(1.0, limit_s), check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{tried}; {words}: not done in time") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise UnavailableError(f"{tried}; {words}: {said[-1]}")


class PrometheusServer:
    """A server that scrapes one target on the loopback five times a second; its data dies with its folder."""

    def __init__(self, program: Path, folder: Path, target_port: int) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.url = f"http://127.0.0.1:{free_port()}"
        config = f"""\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: services
    static_configs: [{{targets: ["127.0.0.1:{target_port}"]}}]
"""
        (folder / "prometheus.yml").write_text(config)

    def start(self) -> None:
        """Returns when it has scraped its target: it begins that some five seconds after its start."""
        options = {
            "config.file": self._folder / "prometheus.yml",
            "storage.tsdb.path": self._folder / "data",
            "storage.tsdb.retention.time": "1h",
            "web.listen-address": self.url.removeprefix("http://"),
            "log.level": "warn",
        }
        argv = [str(self._program), *(f"--{name}={value}" for name, value in options.items())]
        self._started_at = time.time()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, env={**os.environ})
        deadline = time.monotonic() + START_LIMIT_S
        while not self._has_scraped():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Prometheus did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """At once, as a machine that dies would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _has_scraped(self) -> bool:
        query = {"query": f"timestamp(up) > {self._started_at}"}
        try:
            answer = httpx2.get(f"{self.url}/api/v1/query", params=query, timeout=30, trust_env=False)
        except httpx2.HTTPError:
            return False
        return answer.status_code == httpx2.codes.OK and bool(answer.json()["data"]["result"])


@contextmanager
def running_prometheus(folder: Path, target_port: int) -> Iterator[PrometheusServer]:
    """A started server; killed at the end, whatever happened. Skips the test where there is no Prometheus."""
    server = PrometheusServer(prometheus_or_skip(), folder, target_port)
    try:
        server.start()
        yield server
    finally:
        server.kill()
