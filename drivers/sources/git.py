"""Git repositories as sources: one commit, shallow, without executing anything of the repository."""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from domain.errors import DeliveryError, ErrorCode, TerminalError
from domain.repository_url import RepositoryUrl, Scheme, check_branch, check_commit, parse_repository_url
from drivers.folders import finish_in_thread, remove_tree
from drivers.sources.base import FetchedTree, GitCredentials, SourceRequest
from drivers.sources.checkout import settle
from drivers.sources.git_failures import Complaint, complaint_of, disk_full, failure
from drivers.sources.git_process import GitResult, GitRunner, OutputTooLargeError, too_large
from drivers.sources.hosts import HostGuard
from drivers.sources.transport import Transport, opened
from runtime.outbound import Resolve, SystemLookup

DEPTHS = (1, 100, 2_000, 20_000)  # how far back to search for an abbreviated or unadvertised commit
MAX_ENTRIES = 200_000
MAX_LISTING = 64 * 1024 * 1024
MAX_NESTED = 200  # maximum nesting of folders; Python's recursion limit is some hundreds
_LISTED = re.compile(r"(\d{6}) (?:blob|commit) [0-9a-f]+ +(\d+|-)$")
FULL_REFS = ("refs/heads/", "refs/tags/")
_TIP = "refs/fetched/tip"
_SHA1, _SHA256 = 40, 64


@dataclass(frozen=True)
class _Tip:
    """A branch at the remote: its short name, full ref and commit."""

    branch: str
    ref: str
    commit: str


class GitSource:
    """Fetches over https and ssh and, if allowed, from local folders and over plain http from private hosts.

    Args:
        allow_file: accept `file://` and absolute paths.
        allow_private: accept hosts on loopback and private addresses.
        networks: private networks that are accepted anyway.
        known_hosts: the operator's file of ssh host keys.
        hidden: local folders that no caller may read: other tenants' sources, our own data.
        git: the program.
        timeout_s: limit of one git command, in seconds.
        max_bytes: limit for the packed download and for the checked-out tree, each.
        resolve: resolves names to addresses; None: as the operating system does.
    """

    def __init__(
        self,
        *,
        allow_file: bool,
        allow_private: bool,
        networks: Sequence[IPv4Network | IPv6Network] = (),
        known_hosts: Path | None = None,
        hidden: Sequence[Path] = (),
        git: str = "git",
        timeout_s: float = 300,
        max_bytes: int = 2 * 2**30,
        resolve: Resolve | None = None,
    ) -> None:
        self._allow_file = allow_file
        self._allow_private = allow_private
        self._guard = HostGuard(allow_private, networks, resolve or SystemLookup().resolve)
        self._known_hosts = known_hosts
        self._hidden = tuple(folder.resolve() for folder in hidden)
        self._git = git
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def fetch(self, request: SourceRequest, into: Path) -> FetchedTree:
        """Fetch one commit into a folder (created anew); see `Source` for the errors."""
        address = parse_repository_url(request.url, allow_file=self._allow_file, allow_private=self._allow_private)
        branch = check_branch(request.branch) if request.branch is not None else None
        commit = check_commit(request.commit) if request.commit is not None else None
        self._check_folder(address)
        # Beside the tree and never in it. The name is always the same, so that a second attempt finds it.
        home = into.with_name(f".{into.name}.git")
        way = opened(address, request.credentials, self._guard, home=home, operators=self._known_hosts)
        async with way as transport:
            runner = GitRunner(self._git, address.scheme, home, self._timeout_s, self._max_bytes, transport)
            try:
                await finish_in_thread(_begin_anew, runner, into)
                return await _Fetch(runner, address, into).run(branch, commit)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise disk_full() from error
                raise
            except DeliveryError as error:
                if better := _better(error, transport, request.credentials):
                    raise better from error
                raise
            finally:
                await finish_in_thread(remove_tree, home)

    def _check_folder(self, address: RepositoryUrl) -> None:
        """Refuse our own folders, through whatever links they are reached."""
        if address.scheme is not Scheme.FILE:
            return
        real = Path(address.text).resolve()
        if any(real.is_relative_to(folder) for folder in self._hidden):
            raise TerminalError(
                f"{address.text} is a folder of the engine's own; repositories live elsewhere",
                code=ErrorCode.SOURCE_FORBIDDEN,
                details={"url": address.text},
            )


def _better(error: DeliveryError, transport: Transport, credentials: GitCredentials) -> DeliveryError | None:
    """A better explanation than git's: a connection was refused, or a token was withheld; None: there is none."""
    if transport.egress is not None and transport.egress.refusal is not None:
        return transport.egress.refusal
    if error.code is ErrorCode.SOURCE_NOT_FOUND and credentials.token and not transport.token_is_used:
        hint = f"the project's git token is for https://{credentials.token_host} alone and was not sent"
        return TerminalError(f"{error.message}; {hint}", code=error.code, details=error.details)
    return None


def _refs_of(branch: str | None) -> list[str]:
    if branch is None:
        return ["HEAD"]
    return [branch] if branch.startswith(FULL_REFS) else [f"refs/heads/{branch}", f"refs/tags/{branch}"]


def _recorded(branch: str) -> str:
    """The canonical name; a short name means a branch anyway."""
    short = branch.removeprefix("refs/heads/")
    return branch if short.startswith(FULL_REFS) else short


def _begin_anew(runner: GitRunner, into: Path) -> None:
    runner.end_recorded()
    remove_tree(runner.home)
    remove_tree(into)
    into.mkdir(parents=True)
    runner.prepare()


def _weighed(listing: str) -> tuple[int, int, int]:
    """Number, bytes and depth of the entries of `ls-tree -l -z`; stops when there are too many."""
    count, size, nested = listing.count("\0"), 0, 0
    if count > MAX_ENTRIES:
        return count, size, nested
    for entry in listing.split("\0"):
        head, _, name = entry.partition("\t")
        found = _LISTED.match(head)
        size += int(found[2]) if found and found[2] != "-" else 0
        nested = max(nested, name.count("/"))
    return count, size, nested


@dataclass(frozen=True)
class _Fetch:
    """One fetch in progress."""

    runner: GitRunner
    address: RepositoryUrl
    into: Path

    async def run(self, branch: str | None, commit: str | None) -> FetchedTree:
        name, found = await self._find(branch, commit)
        await self._check_listing(found)
        await self._must(self._git_dir, f"--work-tree={self.into}", "read-tree", "--reset", "-u", found)
        shown = await self._must(self._git_dir, "show", "--no-patch", "--format=%ct", found)
        epoch_s = int(shown.stdout.strip() or 0)
        size = await finish_in_thread(settle, self.into, epoch_s=epoch_s)
        return FetchedTree(commit=found, branch=name, size_bytes=size, epoch_s=epoch_s)

    @property
    def _repository(self) -> str:
        return str(self.runner.home / "repository")

    @property
    def _git_dir(self) -> str:
        return f"--git-dir={self._repository}"

    async def _must(self, *arguments: str) -> GitResult:
        result = await self.runner.run(*arguments)
        if result.exit_code != 0:
            raise failure(result.stderr, self.address)
        return result

    # --- which commit -----------------------------------------------------------------------------------

    async def _find(self, branch: str | None, commit: str | None) -> tuple[str, str]:
        """The branch's name and the requested commit, which is fetched. A full id needs no branch that contains it."""
        if commit is not None and len(commit) in {_SHA1, _SHA256} and branch is not None:
            await self._init(commit)
            if await self._bring_by_id(commit):
                return _recorded(branch), commit
        tip = await self._find_tip(branch, commit)
        await self._init(tip.commit)
        return _recorded(branch) if branch else tip.branch, await self._bring(tip, commit)

    async def _init(self, like: str) -> None:
        """An empty repository for this id format; repeating it changes nothing."""
        object_format = "sha256" if len(like) == _SHA256 else "sha1"
        await self._must(
            "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", self._repository
        )

    async def _find_tip(self, branch: str | None, commit: str | None) -> _Tip:
        refs = _refs_of(branch)
        peeled = [f"{ref}^{{}}" for ref in refs if ref.startswith("refs/tags/")]
        listed = await self._must("ls-remote", "--symref", "--", self.address.text, *refs, *peeled)
        rows = [line.partition("\t") for line in listed.stdout.splitlines()]
        # A pattern also matches the ends of longer names: keep exact matches only.
        commits = {name: value for value, _, name in rows if not value.startswith("ref: ")}
        heads = {name: value.removeprefix("ref: ") for value, _, name in rows if value.startswith("ref: ")}
        for ref in refs:
            if ref in commits:
                full = heads.get(ref, ref)
                short = full.removeprefix("refs/heads/").removeprefix("refs/tags/")
                return _Tip(short, full, commits.get(f"{ref}^{{}}", commits[ref]))
        if branch and commit:
            raise self._missing(branch, f"no branch or tag has that name, and {commit} is not handed out without one")
        raise self._missing(branch) if branch else self._empty()

    async def _bring(self, tip: _Tip, commit: str | None) -> str:
        """Fetch the requested commit and return its full id."""
        if commit is None:
            return await self._bring_ref(tip, 1)
        if len(commit) in {_SHA1, _SHA256} and await self._bring_by_id(commit):
            return commit
        for depth in DEPTHS:
            await self._bring_ref(tip, depth)
            if found := await self._resolve(commit):
                return found
            if not (Path(self._repository) / "shallow").exists():  # that was the whole history
                raise self._missing(commit, f"it is not on branch {tip.branch!r}")
        raise self._missing(
            commit, f"it is not among the last {DEPTHS[-1]} commits of {tip.branch!r}; give its full id"
        )

    async def _bring_ref(self, tip: _Tip, depth: int) -> str:
        result = await self._fetch(tip.ref, depth)
        if result.exit_code != 0:
            if complaint_of(result.stderr) is Complaint.REF_MISSING:
                raise self._missing(tip.branch)
            raise failure(result.stderr, self.address)
        found = await self._resolve(_TIP)
        if found is None:
            raise self._missing(tip.branch, "it does not lead to a commit")
        return found

    async def _bring_by_id(self, commit: str) -> bool:
        """Whether the server serves this commit by its id; many do so only for tips."""
        result = await self._fetch(commit, 1)
        if result.exit_code == 0:
            return await self._resolve(_TIP) == commit
        if complaint_of(result.stderr) is not Complaint.REF_MISSING:
            raise failure(result.stderr, self.address)
        return False

    async def _fetch(self, what: str, depth: int) -> GitResult:
        return await self.runner.run(
            self._git_dir,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            f"--depth={depth}",
            "--",
            self.address.text,
            f"+{what}:{_TIP}",
        )

    async def _resolve(self, name: str) -> str | None:
        result = await self.runner.run(
            self._git_dir, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        return result.stdout.strip() if result.exit_code == 0 else None

    # --- what it holds ----------------------------------------------------------------------------------

    async def _check_listing(self, commit: str) -> None:
        """Refuse a tree that is too large before any of it is written."""
        try:
            listed = await self.runner.run(
                self._git_dir, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, max_output=MAX_LISTING
            )
        except OutputTooLargeError:
            raise too_large(self.runner.max_bytes) from None
        if listed.exit_code != 0:
            raise failure(listed.stderr, self.address)
        entries, size, nested = await finish_in_thread(_weighed, listed.stdout)
        if entries > MAX_ENTRIES or size > self.runner.max_bytes:
            raise too_large(self.runner.max_bytes)
        if nested > MAX_NESTED:
            raise TerminalError(
                f"the repository has folders nested {nested} deep; {MAX_NESTED} is the limit",
                code=ErrorCode.SOURCE_TOO_LARGE,
                details={"max_nested": MAX_NESTED},
            )

    # --- what is missing --------------------------------------------------------------------------------

    def _missing(self, ref: str, why: str = "no branch or tag has that name") -> TerminalError:
        return TerminalError(
            f"{ref!r} was not found in {self.address.text}: {why}",
            code=ErrorCode.SOURCE_REF_NOT_FOUND,
            details={"ref": ref, "url": self.address.text},
        )

    def _empty(self) -> TerminalError:
        return TerminalError(
            f"{self.address.text} has no commits on its default branch; push one or name a branch",
            code=ErrorCode.SOURCE_REF_NOT_FOUND,
            details={"ref": "HEAD", "url": self.address.text},
        )
