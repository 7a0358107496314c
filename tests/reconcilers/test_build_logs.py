"""Logs of operations do not grow without end."""

import os
import time
from pathlib import Path

from reconcilers.build_logs import DAY_S, BuildLogRetention


async def test_logs_of_old_operations_go_and_young_ones_stay(tmp_path: Path) -> None:
    for name, days in (("old", 91), ("young", 89), ("going on", 91)):
        folder = tmp_path / name
        folder.mkdir()
        for step in ("source", "build"):
            (folder / f"{step}.log").write_text("a line\n")
            age = 0 if (name, step) == ("going on", "build") else days
            os.utime(folder / f"{step}.log", (time.time() - age * DAY_S,) * 2)
    assert await BuildLogRetention(tmp_path, 90).reconcile() == 1
    assert [name for name in ("going on", "old", "young") if (tmp_path / name).exists()] == ["going on", "young"]
    assert await BuildLogRetention(tmp_path / "not there", 90).reconcile() == 0
