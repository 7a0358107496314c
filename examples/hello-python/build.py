"""Build step: collects the files to run into dist/. Reproducible: no times, no machine names."""

import json
import py_compile
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ("app.py", "faults.py", "http_server.py", "page.py")


def build(source: Path, output: Path) -> None:
    """Check and copy the sources, and bake version and fault into release.json."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for name in SOURCES:
        py_compile.compile(str(source / name), cfile=str(output / "checked.pyc"), doraise=True)
        shutil.copyfile(source / name, output / name)
    (output / "checked.pyc").unlink()
    release = {
        "version": (source / "VERSION").read_text().strip(),
        "fault": (source / "FAULT").read_text().strip() or "none",
    }
    (output / "release.json").write_text(json.dumps(release, indent=2) + "\n")
    print(f"built version {release['version']} from {len(SOURCES)} files")


if __name__ == "__main__":
    build(HERE, HERE / "dist")
