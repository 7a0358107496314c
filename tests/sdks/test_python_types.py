"""A user who checks types strictly has no complaint, and a mistake of theirs is one."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdks.generate.languages import SDKS
from sdks.generate.npm import command, environment, locked, node_home

SOURCES = SDKS / "python" / "src"
CONSUMER = Path(__file__).parent / "python_user" / "consumer.py"
PYRIGHT = Path(__file__).parent / "pyright"
HOME = SDKS.parent / ".build" / "pyright"
MANIFESTS = ("package.json", "package-lock.json")
OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved")
LIMIT_S = 600
MISTAKES = """from ai_agents import Client

client = Client()
client.projects.get(1)
client.projects.list(org_id="o", mood="blue")
client.projects.create("o", name="n")
client.projects.get("p").nam
"""


def mypy(folder: Path, code: str) -> str:
    (folder / "user.py").write_text(code)
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\npython_version = 3.10\n")
    options = ("--config-file", "mypy.ini", "--cache-dir", "cache", "--no-error-summary")
    words = (sys.executable, "-m", "mypy", *options, "user.py")
    environment = {**os.environ, "MYPYPATH": str(SOURCES)}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(LIMIT_S)
def test_mypy_strict(tmp_path):
    assert mypy(tmp_path, CONSUMER.read_text()) == ""
    told = mypy(tmp_path, MISTAKES)
    assert [line for line in range(4, 8) if f"user.py:{line}: error" not in told] == [], told


@pytest.fixture(scope="module")
def pyright():
    wanted = hashlib.sha256(b"".join((PYRIGHT / name).read_bytes() for name in MANIFESTS)).hexdigest()
    stamp = HOME / ".stamp"
    HOME.mkdir(parents=True, exist_ok=True)
    with locked():
        if not stamp.is_file() or stamp.read_text() != wanted:
            for name in MANIFESTS:
                shutil.copy(PYRIGHT / name, HOME)
            subprocess.run(
                command("ci", *OPTIONS), cwd=HOME, env=environment(), check=True, timeout=LIMIT_S, capture_output=True
            )
            stamp.write_text(wanted)
    return node_home() / "bin" / "node", HOME / "node_modules" / "pyright" / "index.js"


@pytest.mark.deep
@pytest.mark.timeout(LIMIT_S)
def test_pyright_strict(tmp_path, pyright):
    venv = Path(sys.prefix)
    facts = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.10",
        "extraPaths": [str(SOURCES)],
        "venvPath": str(venv.parent),
        "venv": venv.name,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(facts))
    for code, lines in ((CONSUMER.read_text(), []), (MISTAKES, [4, 5, 6, 7])):
        (tmp_path / "user.py").write_text(code)
        words = (*pyright, "-p", tmp_path, "--outputjson")
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False)
        faults = json.loads(done.stdout)["generalDiagnostics"]
        assert sorted({one["range"]["start"]["line"] + 1 for one in faults}) == lines, faults
