"""A workspace as the engine lays it out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.builders.base import RunRequest


@dataclass(frozen=True)
class Workspace:
    tree: Path
    state: Path
    log: Path

    @classmethod
    def below(cls, root: Path) -> "Workspace":
        tree = root / "workspace" / "tree"
        tree.mkdir(parents=True)
        return cls(tree, root / "workspace" / "state", root / "workspace" / "build.log")

    def request(self, *steps: str, **changes: Any) -> RunRequest:
        values: dict[str, Any] = {
            "key": str(self.tree),
            "workdir": self.tree,
            "state_dir": self.state,
            "log_path": self.log,
        }
        return RunRequest(**(values | {"steps": steps} | changes))
