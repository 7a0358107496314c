import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data")}


class Assets(HTMLParser):
    """Collects every address a page loads something from."""

    def __init__(self):
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attrs):
        self.urls += [value for name, value in attrs if value and (tag, name) in LOADS]


def test_health_says_what_is_healthy_without_a_token(platform):
    answer = platform.api.raw("GET", "/health", headers={"authorization": ""})
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "healthy"
    assert set(body["services"]) == {"database", "cache", "message_queue", "storage"}
    assert set(body["services"].values()) == {"healthy"}
    assert platform.api.raw("GET", "/v1/health").status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documents_are_served_without_the_internet(platform, path):
    page = platform.api.raw("GET", path)
    assert page.status_code == 200
    assets = Assets()
    assets.feed(page.text)
    home = urlsplit(platform.api.root).netloc
    assert assets.urls
    for url in assets.urls:
        if url.startswith("data:"):
            continue
        address = urlsplit(urljoin(platform.api.root + path, url))
        assert address.netloc == home, f"{path} loads {url}"
        answer = platform.api.raw("GET", address.path)
        assert answer.status_code == 200, url
        assert answer.content, url
    strings = re.findall(r"""["'](https?://[^"']+)["']""", page.text)
    assert [url for url in strings if urlsplit(url).netloc != home] == []


def test_the_openapi_document_describes_the_main_job(platform):
    paths = platform.api.raw("GET", "/v1/openapi.json").json()["paths"]
    wanted = ("build-and-deploy", "/operations/", "/rollback", "/environments/")
    assert [part for part in wanted if not any(part in path for path in paths)] == []


@pytest.mark.timeout(400)
@pytest.mark.deep
def test_docs_api_md_runs_on_any_port_twice(platform, tmp_path):
    """As somebody would type it: the first block with `make`, which tells the port that the stack has chosen."""
    page = (ROOT / "docs" / "api.md").read_text()
    make, commands = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("bash", "sh"))
    assert "8080" not in "".join([*make, *commands])
    script = "\n".join([*make, *commands, 'echo; echo "operation=$operation"'])
    (tmp_path / "make").write_text(f'#!/bin/sh\nexec "{shutil.which("make")}" -o setup "$@"\n')  # set up already
    (tmp_path / "make").chmod(0o755)
    environment = {**os.environ, "DELIVERY_DATA_DIR": str(platform.stack.data_dir), "TMPDIR": str(tmp_path)}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    made = set()
    for _ in ("once", "twice"):
        ran = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        made.add(ran.stdout.splitlines()[-1])
    assert len(made) == 2
    assert all(re.fullmatch(r"operation=[0-9a-f-]{36}", one) for one in made)


def test_the_audit_chain_is_verified_on_the_embedded_stack(platform):
    environment = {**os.environ, "DELIVERY_DATA_DIR": str(platform.stack.data_dir)}
    environment.pop("DELIVERY_DATABASE_URL", None)
    words = [sys.executable, "-m", "storage.audit_chain", "verify"]
    told = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert told.returncode == 0, told.stderr
    assert "platform: " in told.stdout
    assert told.stdout.count("whole") >= 2


def test_the_postman_collection_is_there(platform):
    answer = platform.api.raw("GET", "/postman-collection.json", headers={"authorization": ""})
    assert answer.status_code == 200
    assert answer.json()["item"]


def test_the_temporal_ui_is_there(platform):
    answer = httpx2.get(platform.stack.addresses["temporal_ui"], trust_env=False, follow_redirects=True, timeout=60)
    assert answer.status_code == 200
    assert "html" in answer.headers["content-type"]
