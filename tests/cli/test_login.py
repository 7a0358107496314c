"""The browser's way back: any free port, and only the page of this login."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlencode, urlsplit

from delivery_cli.login.browser import log_in
from delivery_cli.login.endpoints import Endpoints

from tests.cli.misbehaving import running, said

LIMIT_S = 120


class Browser:
    """A person who allows it at once, or a page that tries the port of somebody else's login."""

    def __init__(self, together: threading.Barrier) -> None:
        self.together, self.seen = together, []

    def __call__(self, address: str) -> bool:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        threading.Thread(target=self._visit, args=(asked,), daemon=True).start()
        return True

    def _visit(self, asked) -> None:
        self.together.wait(LIMIT_S)
        for state in ("", "another", "\u0661", asked["state"]):
            query = urlencode({"code": "the-code", "state": state})
            there = urlsplit(asked["redirect_uri"])
            http = HTTPConnection(there.hostname, there.port, timeout=LIMIT_S)
            http.request("GET", f"{there.path}?{query}")
            self.seen.append(http.getresponse().status)
            http.close()


def test_two_logins_at_once_on_one_machine(capsys):
    """The server takes any port of the loopback address (RFC 8252, 7.3); a page with another state ends no login."""
    together = threading.Barrier(2)
    browsers = [Browser(together), Browser(together)]
    answer = json.dumps({"access_token": "the-token", "expires_in": 3600}).encode()
    with running(said(200, answer)) as server, ThreadPoolExecutor(2) as pool:
        root = f"http://127.0.0.1:{server.port}"
        where = Endpoints(root, f"{root}/oauth/authorize", f"{root}/oauth/token", "")
        logins = [pool.submit(log_in, where, seconds=LIMIT_S, show=browser) for browser in browsers]
        assert [one.result(LIMIT_S).access for one in logins] == ["the-token", "the-token"]
    assert [browser.seen[:3] for browser in browsers] == [[400, 400, 400]] * 2
    assert server.requests == ["POST /oauth/token"] * 2
    assert "the-code" not in capsys.readouterr().err
