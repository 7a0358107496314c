"""What a repository is made of, as far as its files tell: how it is built, tested and started."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PORT: Final = "$PORT"


@dataclass(frozen=True)
class Found:
    """What delivery.yaml will say, and why.

    Attributes:
        because: the files that told it.
        command: how the service is started; empty: nothing tells.
        sure: whether the command is read from a file rather than guessed from a habit.
    """

    language: str
    because: str
    build: list[str] = field(default_factory=list)
    output: str = ""
    test: str = ""
    report: str = ""
    command: str = ""
    sure: bool = False
    notes: list[str] = field(default_factory=list)


def detect(folder: Path) -> Found:
    """Look at the files of a folder; the first kind that fits counts."""
    web = _procfile(folder)
    for look in (_node, _python, _go, _rust, _ruby, _make, _static):
        found = look(folder)
        if found:
            break
    else:
        found = Found("", "nothing that it knows")
    notes = list(found.notes)
    if (folder / "Dockerfile").exists():
        notes.append("There is a Dockerfile; containers are not built yet, so the service runs as a process.")
    changes: dict[str, Any] = {"notes": notes}
    if web:
        changes |= {
            "command": "",
            "sure": True,
            "because": f"{found.because}, Procfile".removeprefix("nothing that it knows, "),
        }
    return Found(**{**found.__dict__, **changes})


def _procfile(folder: Path) -> str:
    lines = _text(folder / "Procfile").splitlines()
    return next((line[4:].strip() for line in lines if line.startswith("web:")), "")


def _node(folder: Path) -> Found | None:
    if not (folder / "package.json").exists():
        return None
    try:
        package = json.loads(_text(folder / "package.json"))
        scripts = package.get("scripts") or {}
    except (ValueError, AttributeError):
        package, scripts = {}, {}
    manager, install = next(
        ((name, words) for lock, name, words in _NODE_LOCKS if (folder / lock).exists()), ("npm", "npm install")
    )
    build = [install, *([f"{manager} run build"] if "build" in scripts else [])]
    real_test = "test" in scripts and "no test specified" not in str(scripts["test"])
    main = package.get("main") or next(
        (name for name in ("server.js", "index.js", "app.js") if (folder / name).exists()), ""
    )
    command = f"{manager} start" if "start" in scripts else f"exec node {main}" if main else ""
    return Found(
        "Node.js", "package.json", build, "", f"{manager} test" if real_test else "", "", command, "start" in scripts
    )


_NODE_LOCKS: Final = (
    ("pnpm-lock.yaml", "pnpm", "pnpm install --frozen-lockfile"),
    ("yarn.lock", "yarn", "yarn install --frozen-lockfile"),
    ("package-lock.json", "npm", "npm ci"),
)


def _python(folder: Path) -> Found | None:
    names = ("pyproject.toml", "requirements.txt", "uv.lock", "poetry.lock", "setup.py")
    there = [name for name in names if (folder / name).exists()]
    scripts = [name for name in ("app.py", "main.py", "server.py", "wsgi.py", "manage.py") if (folder / name).exists()]
    if not there and not scripts:
        return None
    needs = _python_needs(folder)
    run = ".venv/bin/"
    build = ["python3 -m venv .venv"]
    if "requirements.txt" in there:
        build.append(".venv/bin/pip install -r requirements.txt")
    elif there:
        build.append(".venv/bin/pip install .")
    else:
        build, run = [], ""
    test = f"{run}python{'' if run else '3'} -m pytest --junitxml reports/junit.xml" if "pytest" in needs else ""
    command, sure = _python_command(scripts, needs, run)
    return Found(
        "Python", ", ".join(there or scripts), build, "", test, "reports/junit.xml" if test else "", command, sure
    )


def _python_command(scripts: list[str], needs: set[str], run: str) -> tuple[str, bool]:
    module = next((name.removesuffix(".py") for name in scripts if name != "manage.py"), "")
    if "uvicorn" in needs and module:
        return f"exec {run}uvicorn {module}:app --host 127.0.0.1 --port {PORT}", False
    if "gunicorn" in needs and module:
        return f"exec {run}gunicorn --bind 127.0.0.1:{PORT} {module}:app", False
    if "manage.py" in scripts:
        return f"exec {run}python manage.py runserver 127.0.0.1:{PORT}", False
    return (f"exec {run or ''}{'python' if run else 'python3'} {module}.py", False) if module else ("", False)


def _python_needs(folder: Path) -> set[str]:
    """Names of what it depends on."""
    text = _text(folder / "requirements.txt")
    try:
        project = tomllib.loads(_text(folder / "pyproject.toml"))
    except tomllib.TOMLDecodeError:
        project = {}
    listed = [str(one) for one in project.get("project", {}).get("dependencies", [])]
    for group in (
        *project.get("dependency-groups", {}).values(),
        *project.get("project", {}).get("optional-dependencies", {}).values(),
    ):
        listed += [one for one in group if isinstance(one, str)]
    listed += list(project.get("tool", {}).get("poetry", {}).get("dependencies", {}))
    return {re.split(r"[^A-Za-z0-9._-]", line.strip())[0].lower() for line in [*text.splitlines(), *listed]}


def _go(folder: Path) -> Found | None:
    if not (folder / "go.mod").exists():
        return None
    package = "./..." if not (folder / "main.go").exists() else "."
    commands = sorted(folder.glob("cmd/*/main.go"))
    if package != "." and commands:
        package = f"./cmd/{commands[0].parent.name}"
    return Found(
        "Go",
        "go.mod",
        [f"go build -o dist/server {package}"],
        "dist",
        "go test ./...",
        "",
        "exec ./server",
        package != "./...",
    )


def _rust(folder: Path) -> Found | None:
    if not (folder / "Cargo.toml").exists():
        return None
    try:
        name = tomllib.loads(_text(folder / "Cargo.toml"))["package"]["name"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        name = "server"
    build = ["cargo build --release --locked", f"mkdir -p dist && cp target/release/{name} dist/server"]
    return Found("Rust", "Cargo.toml", build, "dist", "cargo test --locked", "", "exec ./server", sure=True)


def _ruby(folder: Path) -> Found | None:
    if not (folder / "Gemfile").exists():
        return None
    build = ["bundle config set --local path vendor/bundle", "bundle install"]
    command = f"bundle exec puma --bind tcp://127.0.0.1:{PORT}" if (folder / "config.ru").exists() else ""
    return Found("Ruby", "Gemfile", build, "", "", "", command)


def _make(folder: Path) -> Found | None:
    name = next((name for name in ("Makefile", "makefile", "GNUmakefile") if (folder / name).exists()), "")
    if not name:
        return None
    targets = set(re.findall(r"^([A-Za-z0-9_.-]+):(?!=)", _text(folder / name), re.MULTILINE))
    return Found(
        "make",
        name,
        ["make"],
        "",
        "make test" if "test" in targets else "",
        "",
        f"make run PORT={PORT}" if "run" in targets else "",
    )


def _static(folder: Path) -> Found | None:
    if not (folder / "index.html").exists():
        return None
    return Found(
        "static files", "index.html", [], "", "", "", f"exec python3 -m http.server --bind 127.0.0.1 {PORT}", sure=True
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[: 1 << 20]
    except OSError:
        return ""
