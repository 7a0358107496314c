"""A local git repository made from an example service, for the demo and the tests."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
GIT_SECONDS = 30
IDENTITY = ("-c", "user.name=Example", "-c", "user.email=example@localhost", "-c", "commit.gpgsign=false")


class ServiceRepository:
    """A repository on branch `main` whose working tree starts as a copy of `examples/<example>`."""

    def __init__(self, folder: Path, example: str = "hello-python") -> None:
        self.folder = folder
        if not (folder / ".git").is_dir():
            ignore = shutil.ignore_patterns("dist", "reports", "__pycache__")
            shutil.copytree(EXAMPLES / example, folder, ignore=ignore, dirs_exist_ok=True)
            self.git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        """Address for `repository_url`."""
        return self.folder.resolve().as_uri()

    def commit(self, version: str, *, fault: str = "none", files: Mapping[str, str | None] | None = None) -> str:
        """Commit a version with a fault switch and other files changed (None deletes); returns the full id."""
        changes = {"VERSION": f"{version}\n", "FAULT": f"{fault}\n", **(files or {})}
        for name, content in changes.items():
            path = self.folder / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        self.git("add", "--all")
        self.git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", f"Version {version}")
        return self.git("rev-parse", "HEAD").strip()

    def read(self, name: str) -> str:
        """A file of the working tree."""
        return (self.folder / name).read_text()

    def git(self, *arguments: str) -> str:
        """Run git here; raises with its output on failure."""
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"git {' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")
        return done.stdout
