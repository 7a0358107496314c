"""The composed engine as the check drives it: `docker compose` with files, secrets and volumes of its own."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from domain.permissions import Role, permissions_of
from examples.client import Api
from runtime.settings import ROOT, Settings
from runtime.tokens import Subject, issue_token

PROJECT = "delivery-check"
PUBLIC_URL = "https://delivery.example.com"
API_PORT, INGRESS_PORT = 18080, 18000
GIT = "10.213.7.200"
STEP_SECONDS = 1200
CONDITION_SECONDS = 300.0
SECRET_LENGTH = 16


class CheckError(Exception):
    """Something is not as it must be; the message says what."""


def missing() -> str | None:
    """What this machine lacks for the check; None: nothing."""
    for words in (("docker", "version"), ("docker", "compose", "version")):
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        except OSError as error:
            return f"{' '.join(words)}: {error}"
        if done.returncode:
            return f"{' '.join(words)}: {done.stderr.strip()[-300:]}"
    return None


class ComposedEngine:
    """One project; `down` removes all of it, volumes too.

    Args:
        folder: of secrets, certificates and the repository; nobody else's.
    """

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self._folder = folder
        self._environment = {
            **os.environ,
            "PUBLIC_URL": PUBLIC_URL,
            "HOST_SUFFIX": "apps.example.com",
            "ADMIN_EMAIL": "ada@example.com",
            "SECRETS_DIR": str(folder / "secrets"),
            "TEMPORAL_TLS_DIR": str(folder / "tls"),
            "API_PORT": str(API_PORT),
            "INGRESS_PORT": str(INGRESS_PORT),
            "REPOSITORY": str(self.repository),
            "CERTIFICATE": str(folder / "git.pem"),
            "SERVE": str(ROOT / "tests" / "compose" / "serve.py"),
        }

    def __enter__(self) -> Self:
        self.repository.mkdir()
        for script in ("secrets", "certificates"):
            words = [
                ROOT / "deploy" / f"{script}.sh",
                *([self._folder / ("secrets" if script == "secrets" else "tls")]),
            ]
            subprocess.run(words, check=True, timeout=120)
        self._certify()
        return self

    def _certify(self) -> None:
        """A certificate of the repository's server, by an authority that the worker has anyway."""
        tls, key, ask = self._folder / "tls", self._folder / "git.key", self._folder / "git.csr"
        (self._folder / "git.ext").write_text(f"subjectAltName=IP:{GIT}\nextendedKeyUsage=serverAuth\n")
        new = [
            "openssl",
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=git",
            "-keyout",
            key,
            "-out",
            ask,
        ]
        sign = ["openssl", "x509", "-req", "-in", ask, "-CA", tls / "server-ca.pem", "-CAkey", tls / "server-ca.key"]
        sign += [
            "-set_serial",
            "77",
            "-days",
            "30",
            "-extfile",
            self._folder / "git.ext",
            "-out",
            self._folder / "git.crt",
        ]
        for words in (new, sign):
            subprocess.run(words, check=True, capture_output=True, timeout=120)
        pair = key.read_text() + (self._folder / "git.crt").read_text()
        (self._folder / "git.pem").write_text(pair)

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "20")

    def compose(self, *words: str) -> str:
        """`docker compose ...`; what it prints.

        Raises:
            CheckError: it did not end with 0.
        """
        files = (ROOT / "deploy" / "compose.yaml", ROOT / "tests" / "compose" / "compose.yaml")
        return self._run(
            ["docker", "compose", "--project-name", PROJECT, *(w for f in files for w in ("-f", str(f))), *words]
        )

    def docker(self, *words: str) -> str:
        """`docker ...`."""
        return self._run(["docker", *words])

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            words, env=self._environment, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
        if done.returncode:
            raise CheckError(
                f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """All that the engine says of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def address(self, service: str, network: str) -> str:
        """Of a container in one of its networks."""
        return str(self.inspect(service)["NetworkSettings"]["Networks"][f"{PROJECT}_{network}"]["IPAddress"])

    def python(self, service: str, code: str) -> str:
        """A line of Python in a container of the engine's image."""
        return self.compose("exec", "--no-TTY", service, ".venv/bin/python", "-c", code).strip()

    def api(self) -> Api:
        """As a platform admin, with a token that the signing key made here."""
        key = self._folder / "jwt.pem"
        key.write_bytes((self._folder / "secrets" / "jwt.pem").read_bytes())
        key.chmod(0o600)
        settings = Settings(jwt_private_key_file=key, jwt_issuer=PUBLIC_URL, public_url=PUBLIC_URL)
        role = Role.PLATFORM_ADMIN
        subject = Subject(
            id="00000000-0000-7000-8000-000000000001",
            role=role,
            permissions=permissions_of(role),
            email="check@example.com",
        )
        return Api(f"http://127.0.0.1:{API_PORT}", issue_token(settings, subject))


def await_that(what: str, condition: Callable[[], bool], seconds: float = CONDITION_SECONDS) -> None:
    """Ask until it holds; whatever is raised meanwhile counts as not yet.

    Raises:
        CheckError: it did not come to hold.
    """
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001 - parts are away on purpose
            last = error
        time.sleep(0.5)
    raise CheckError(f"not within {seconds:g} s: {what} ({last})")


def secrets_shown(facts: Mapping[str, Any], files: Iterable[Path]) -> list[str]:
    """Secret files of whose content a line stands in what `docker inspect` answers."""
    shown = json.dumps(facts)
    return [file.name for file in files if any(line in shown for line in _secret_lines(file))]


def _secret_lines(file: Path) -> list[str]:
    """Without the lines around a key, and an end of one that is too short to be anybody's."""
    return [line for line in file.read_text().split() if len(line) >= SECRET_LENGTH and "-----" not in line]
