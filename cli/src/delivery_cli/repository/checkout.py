"""The git repository at hand: what would be deployed, and whether the server can see it."""

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from delivery_cli.faults import UsageFault

SECONDS: Final = 30
_SCP: Final = re.compile(r"^(?:[^@/:]+@)?(?P<host>[^/:]+):(?P<path>(?!//).+)$")
_SEMVER: Final = re.compile(
    r"^v?(?P<core>(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))(?P<rest>(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$"
)


@dataclass(frozen=True)
class Checkout:
    """A repository and what is checked out in it."""

    folder: Path

    def git(self, *arguments: str) -> str:
        """Git's output; empty where it fails, which here always means that there is no such thing."""
        return _git(self.folder, *arguments) or ""

    @cached_property
    def commit(self) -> str:
        """The full id of HEAD."""
        found = self.git("rev-parse", "--verify", "--quiet", "HEAD")
        if not found:
            raise UsageFault("this repository has no commit yet", "git add --all && git commit")
        return found

    @cached_property
    def branch(self) -> str:
        """The branch that is checked out; empty for a detached HEAD."""
        return self.git("symbolic-ref", "--quiet", "--short", "HEAD")

    @cached_property
    def subject(self) -> str:
        """The first line of HEAD's message."""
        return self.git("log", "-1", "--format=%s")

    @cached_property
    def remotes(self) -> dict[str, str]:
        """Addresses by name, that of the branch first, then `origin`."""
        found: dict[str, str] = {}
        for line in self.git("config", "--get-regexp", r"^remote\..*\.url$").splitlines():
            key, _, url = line.partition(" ")
            found.setdefault(key.removeprefix("remote.").removesuffix(".url"), url)
        own = self.git("config", "--get", f"branch.{self.branch}.remote") if self.branch else ""
        first = [name for name in (own, "origin") if name in found]
        return {name: found[name] for name in dict.fromkeys([*first, *found])}

    @cached_property
    def changed(self) -> list[str]:
        """Files that differ from HEAD, new ones included: they would not be deployed."""
        return [line[3:] for line in self.git("status", "--porcelain", "--untracked-files=normal").splitlines()]

    @property
    def is_pushed(self) -> bool:
        """Whether a remote is known to have HEAD, as of the last fetch or push."""
        return bool(self.git("branch", "--remotes", "--contains", "HEAD", "--format=%(refname)"))

    @property
    def version(self) -> tuple[str, bool]:
        """A semantic version for HEAD, and whether it is only what the file `VERSION` says.

        Its tag goes first, then that file; else it is made of the last tag and the commit.
        """
        for tag in self.git("tag", "--points-at", "HEAD", "--sort=-version:refname").splitlines():
            if match := _SEMVER.match(tag):
                return match["core"] + match["rest"], False
        if match := _SEMVER.match(self.git("show", "HEAD:VERSION").strip()):
            return match["core"] + match["rest"], True
        return self._between_tags(), False

    def _between_tags(self) -> str:
        short = self.commit[:7]
        described = self.git("describe", "--tags", "--long", "--abbrev=7", "--match", "v[0-9]*", "--match", "[0-9]*")
        tag, _, rest = described.rpartition("-g")
        tag, _, count = tag.rpartition("-")
        if rest and (match := _SEMVER.match(tag)) and not match["rest"]:
            major, minor, patch = match["core"].split(".")
            return f"{major}.{minor}.{int(patch) + 1}-dev.{count}+g{short}"
        return f"0.0.0-dev.{self.git('rev-list', '--count', 'HEAD') or 0}+g{short}"

    @property
    def addresses(self) -> list[str]:
        """What a project's `repository_url` may say for this repository: its remotes, and its own folder."""
        return [*self.remotes.values(), self.folder.as_uri()]

    def log(self, since: str, until: str) -> list[tuple[str, str, str]] | None:
        """Commits (id, author, subject) of `until` that `since` has not, newest first; None: not here."""
        if not all(self.git("rev-parse", "--verify", "--quiet", f"{one}^{{commit}}") for one in (since, until)):
            return None
        lines = self.git("log", "--format=%h%x00%an%x00%s", "--max-count=200", f"{since}..{until}").splitlines()
        return [(parts[0], parts[1], parts[2]) for parts in (line.split("\0") for line in lines) if len(parts) == 3]


def find(start: Path | None = None) -> Checkout:
    """The repository around a folder; raises `UsageFault` if there is none, or no git."""
    folder = start or Path.cwd()
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top:
        raise UsageFault(f"{folder} is in no git repository", "go into the checkout of your service, or `git init`")
    return Checkout(Path(top))


def same_repository(one: str, other: str) -> bool:
    """Whether two addresses name the same repository, however they spell it: ssh or https, with or without `.git`."""
    return normal(one) == normal(other)


def normal(address: str) -> str:
    """`host/path`, or a local path: how two spellings are compared."""
    text = address.strip()
    if "://" not in text:
        if text.startswith(("/", ".")):
            return _local(text)
        match = _SCP.match(text)
        return _remote(match["host"], match["path"]) if match else _local(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return _local(unquote(parts.path))
    port = f":{parts.port}" if parts.port and parts.port not in {22, 80, 443} else ""
    return _remote((parts.hostname or "") + port, parts.path)


def clonable(address: str) -> str:
    """An address as the server takes it: without credentials, scp-like ones as ssh URLs."""
    text = address.strip()
    if "://" not in text:
        if match := (None if text.startswith(("/", ".")) else _SCP.match(text)):
            user = text.split("@")[0] + "@" if "@" in text.split(":")[0] else ""
            return f"ssh://{user}{match['host']}/{match['path'].lstrip('/')}"
        return Path(text).resolve().as_uri()
    parts = urlsplit(text)
    if parts.scheme in {"http", "https"} and parts.username:
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return text


def _remote(host: str, path: str) -> str:
    return f"{host.lower()}/{path.strip('/').removesuffix('.git')}"


def _local(path: str) -> str:
    return str(Path(path).resolve()).removesuffix("/.git").removesuffix(".git")


def _git(folder: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.quotePath=false", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise UsageFault("git is not installed", "install git: the CLI asks it what is checked out") from error
    except subprocess.TimeoutExpired as error:
        raise UsageFault(f"git {arguments[0]} did not answer within {SECONDS} s") from error
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
