"""The command run as its users run it: arguments in, output, remarks and exit code back; and folders of its own."""

import gc
import io
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest
from delivery_cli.main import run

from examples.repository import IDENTITY, ServiceRepository


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


class Stream(io.StringIO):
    """Standard input or output of the command, which runs in the thread that made it; others keep their own."""

    def __init__(self, text: str, elsewhere: TextIO, *, terminal: bool) -> None:
        super().__init__(text)
        self._thread, self._elsewhere, self._terminal = threading.get_ident(), elsewhere, terminal

    def write(self, text: str) -> int:
        return super().write(text) if threading.get_ident() == self._thread else self._elsewhere.write(text)

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's user: neither logins nor git's settings."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("DELIVERY_", "XDG_", "AI_AGENTS_"))]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "CI", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("DELIVERY_KEYRING", "off")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return folder


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`delivery("status", "--json")`; `given`: standard input; `terminal`: whether a person sits there."""

    def call(*arguments: str, given: str = "", terminal: bool = False) -> Said:
        out, err = Stream("", sys.stdout, terminal=terminal), Stream("", sys.stderr, terminal=terminal)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", Stream(given, sys.stdout, terminal=terminal))
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            patched.setenv("COLUMNS", "80")
            # CPython 3.11 crashed once in a collection on the API's thread while the command waited in another.
            gc.disable()
            try:
                code = run(arguments)
            finally:
                gc.enable()
        return Said(int(code), out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceRepository:
    """A checkout with one commit, which is the current folder."""
    made = ServiceRepository(tmp_path / "shop")
    made.git(*IDENTITY, "config", "user.email", "ada@example.com")
    made.commit("1.4.0")
    monkeypatch.chdir(made.folder)
    return made
