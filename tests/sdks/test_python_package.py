"""What is published of the Python SDK: it builds from a path with a space, is whole, and is cheap to import."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from sdks.generate.languages import SDKS

HOME = SDKS / "python"
LIMIT_S = 300
# Modules that cost much, and that a client needs only when it is used.
HEAVY = ("httpx2", "pydantic", "asyncio", "ssl", "email", "ai_agents.models", "ai_agents.errors")


def run(*words: str | Path, **options) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a path with a space") / "a copy"
    shutil.copytree(HOME, folder, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    run(sys.executable, "-m", "build", "--no-isolation", ".", cwd=folder)
    return folder / "dist"


def test_what_is_published_is_whole(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    told = run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    assert told.count("PASSED") == 2
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        facts = Parser().parsestr(archive.read(next(name for name in names if name.endswith("/METADATA"))).decode())
    modules = {str(path.relative_to(HOME / "src")) for path in (HOME / "src").rglob("*.py")}
    assert {name for name in names if not name.startswith("ai_agents_sdk-")} == {*modules, "ai_agents/py.typed"}
    assert any(name.endswith("/LICENSE") for name in names)
    assert sorted(one.partition("<")[0] for one in facts.get_all("Requires-Dist")) == ["httpx2", "pydantic"]
    sys.stdout.write(f"the wheel: {wheel.stat().st_size / 1024:.0f} KiB\n")
    assert wheel.stat().st_size < 400 * 1024


def test_an_installed_one_says_its_version_and_imports_nothing_heavy(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--target", tmp_path / "site")
    run(sys.executable, "-m", "pip", "install", *options, wheel)
    code = (
        "import sys; before = set(sys.modules)\n"
        "import ai_agents\n"
        "client = ai_agents.Client(base_url='https://api.example.com', api_key='k')\n"
        "client.projects\n"
        f"print(ai_agents.__version__, [name for name in {HEAVY} if name in set(sys.modules) - before])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    assert run(sys.executable, "-c", code, env=environment, cwd=tmp_path).split(maxsplit=1) == ["0.1.0", "[]\n"]


def test_its_words_are_those_of_python_3_10():
    for path in [*HOME.rglob("src/**/*.py"), *HOME.glob("examples/*.py")]:
        ast.parse(path.read_text(), path.name, feature_version=(3, 10))
