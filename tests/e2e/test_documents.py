import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

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


def test_the_temporal_ui_is_there(platform):
    answer = httpx2.get(platform.stack.addresses["temporal_ui"], trust_env=False, follow_redirects=True, timeout=10)
    assert answer.status_code == 200
    assert "html" in answer.headers["content-type"]
