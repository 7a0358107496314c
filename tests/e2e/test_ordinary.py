"""Ordinary repositories deploy: what most people's builds and services do, on the real stack."""

from pathlib import Path
from typing import Any

import pytest

from examples.client import Json
from tests.support.facts import facts
from tests.support.platform import App
from tests.support.wheels import wheel

# The stack's start, and builds that give way to everything else on a busy machine.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SERVER = """
import http.server, json, multiprocessing, os, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        facts = {"env": dict(os.environ), "cwd": os.getcwd(), "prefix": sys.prefix, "files": sorted(os.listdir("."))}
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

def main():
    multiprocessing.Manager().dict()  # a socket below TMPDIR
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

if __name__ == "__main__":
    main()
"""
SERVICE = {"service": {"health": {"path": "/", "startup_timeout": 60}}}
LOUD = "yes 'ok 123 - a test that passed' | head -c 20000000"
PIP = "install -q --no-index --disable-pip-version-check"


def ordinary(platform, slug: str, files: dict[str, str]) -> App:
    """A repository with nothing but these files."""
    app = platform.app(slug)
    for path in app.repository.folder.glob("*.py"):
        path.unlink()
    for name, text in files.items():
        path = app.repository.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return app


def shipped(app: App, spec: dict[str, Any]) -> Json:
    """Ship it, wait patiently, and return what the service says of itself."""
    begun = app.begin(spec=spec)
    operation = app.api.wait(begun.accepted.operation_id, 400)
    assert operation["status"] == "completed", operation
    facts: Json = app.service.get("/").json()
    return facts


@pytest.mark.deep
def test_venv_in_artifact_and_plain_pip(platform):
    app = ordinary(platform, "ordinary-venv", {})
    for name in ("plain", "ofuser"):
        wheel(app.repository.folder, name)
    wheel(app.repository.folder, "served", SERVER)
    steps = [
        "python3 -m venv .venv",
        f".venv/bin/pip {PIP} ./served-*.whl",
        f"pip {PIP} ./plain-*.whl",
        f"pip {PIP} --user ./ofuser-*.whl",
        'test "$CI" = false && test "$LANG" = C',
    ]
    command = "say-plain && python3 -m ofuser && exec .venv/bin/say-served"
    facts = shipped(
        app,
        {
            "build": {"steps": steps, "timeout": 300, "output": ".", "env": {"CI": "false", "LANG": "C"}},
            "service": {**SERVICE["service"], "command": command, "memory_mb": 512, "env": {"LANG": "C.UTF-8"}},
            "test": {
                "command": "yes 'ok 123 - a test that passed' | head -c 20000000; .venv/bin/python -c 'import served'"
            },
        },
    )
    assert facts["prefix"] == "/delivery/app/.venv"
    assert (facts["env"]["HOME"], facts["env"]["TMPDIR"]) == ("/delivery/home", "/delivery/tmp")


@pytest.mark.deep
def test_monorepo_link_to_shared(platform):
    files = {"apps/web/app.py": SERVER, "packages/shared/x.txt": "x"}
    app = ordinary(platform, "ordinary-monorepo", files)
    (app.repository.folder / "apps" / "web" / "shared").symlink_to("../../packages/shared")
    facts = shipped(
        app,
        {
            "source": {"path": "apps/web"},
            "build": {"steps": ["cat ../../packages/shared/x.txt"], "output": "."},
            "service": {**SERVICE["service"], "command": "cat shared/x.txt && exec python3 app.py"},
        },
    )
    assert (facts["cwd"], facts["files"]) == ("/delivery/app/apps/web", ["app.py", "shared"])


@pytest.mark.skipif(not Path("/usr/local/go/bin/go").exists(), reason="Go is not on this machine")
@pytest.mark.deep
def test_go_is_found(platform):
    app = ordinary(platform, "ordinary-go", {"app.py": SERVER})
    spec = {"build": {"steps": ["go version > dist"], "output": "."}}
    shipped(app, {**spec, "service": {**SERVICE["service"], "command": "cat dist && exec python3 app.py"}})


def test_ci_false_is_ignored_nowhere_and_what_we_set_is_refused_with_its_place(platform):
    app = ordinary(platform, "ordinary-env", {"app.py": SERVER})
    error = app.ship(spec={"build": {"steps": ["true"], "env": {"PATH": "/mine"}}}).error
    assert error["code"] == "SPEC_INVALID"
    assert [fault["key"] for fault in facts(error)["faults"]] == ["build.env.PATH"]
