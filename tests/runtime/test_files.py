import subprocess
import sys
from pathlib import Path

from runtime.files import write_whole
from runtime.settings import ROOT

FULL = """
import resource, signal, sys
from pathlib import Path
from runtime.files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_whole(Path(sys.argv[1]), "x" * 100_000, sync=True)
"""


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "key"
    write_whole(file, "old", sync=False, mode=0o600)
    write_whole(file, b"new", sync=True, mode=0o600)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_one_that_finds_no_room_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "state"
    write_whole(file, "old", sync=False)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert "File too large" in done.stderr
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
