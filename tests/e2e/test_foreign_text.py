"""What strangers' programs write is shown as the reason, whatever it is made of; a new version is a new page."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BROKEN = """
import sys
sys.stdout.buffer.write(b"boom \\0\\n")
sys.stdout.flush()
sys.exit(4)
"""
SICK = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500)
        self.end_headers()
        self.wfile.write(b"sick \\0 indeed")

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
HELLO = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
QUICK_TO_FAIL = {"startup_timeout": 8, "interval": 0.1}


@pytest.mark.parametrize(
    ("spec", "files", "code", "words"),
    [
        ({"build": {"steps": ["printf 'bad\\000byte\\n'; exit 3"]}}, {}, "BUILD_FAILED", "bad\ufffdbyte"),
        pytest.param(
            {"build": None, "service": {"command": "python3 broken.py"}},
            {"broken.py": BROKEN},
            "INSTANCE_EXITED",
            "boom \ufffd",
            marks=pytest.mark.deep,
        ),
        pytest.param(
            {"build": None, "service": {"command": "python3 sick.py", "health": QUICK_TO_FAIL}},
            {"sick.py": SICK},
            "INSTANCE_UNHEALTHY",
            "sick \ufffd indeed",
            marks=pytest.mark.deep,
        ),
    ],
    ids=["build", "service", "health answer"],
)
def test_a_nul_byte_does_not_hide_the_reason(live, spec, files, code, words):
    shipped = live.ship(spec=spec, files=files)
    assert shipped.error["code"] == code
    assert words in str(shipped.error)


@pytest.mark.deep
@pytest.mark.parametrize("encoding", ["utf-8-sig", pytest.param("utf-16", marks=pytest.mark.deep)])
def test_a_procfile_from_a_windows_editor_is_read(platform, encoding):
    app = platform.app(f"mark-{encoding}")
    (app.repository.folder / "Procfile").write_bytes("web: python3 server.py\r\n".encode(encoding))
    (app.repository.folder / "server.py").write_text(HELLO)
    shipped = app.ship(files={"delivery.yaml": None})
    assert shipped.deployment["status"] == "success", shipped.operation
    assert app.service.get("/").text == "hello"


@pytest.mark.deep
def test_a_new_page_of_the_same_size_is_not_answered_as_unmodified(platform):
    app = platform.app("static")
    spec = {
        "build": None,
        "service": {"command": "exec python3 -m http.server --bind 127.0.0.1 $PORT", "health": {"path": "/index.html"}},
    }
    first = app.ship(spec=spec, files={"index.html": "one"})
    assert first.deployment["status"] == "success", first.operation
    seen = app.service.get("/index.html")
    unchanged = {"if-modified-since": seen.headers["last-modified"]}
    assert app.service.get("/index.html", unchanged).status_code == 304
    second = app.ship(spec=spec, files={"index.html": "two"})
    assert second.deployment["status"] == "success", second.operation
    answer = app.service.get("/index.html", unchanged)
    assert (answer.status_code, answer.text) == (200, "two")
