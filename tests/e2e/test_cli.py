"""The command `delivery` on the real stack: the tutorial as it stands, and what people decide."""

import html
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from examples.embedded import ROOT
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LIMIT_S = 500
# What the reader's own stack prints; a machine without curl has this one.
PRELUDE = """
set -eu
make() { case "$2" in addresses) printf '%s' "$ADDRESSES";; token) printf '%s' "$TOKEN";; esac; }
if ! command -v curl >/dev/null; then
    curl() { "$PYTHON" -c 'import sys, http.client as h
c = h.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
c.request("GET", "/version", headers={"Host": sys.argv[2]})
sys.exit(c.getresponse().status != 200)' "${URL##*:}" "${URL#http://}"; }
fi
"""


class Commands:
    """Runs `delivery` as a user of this stack; `code` is how it must end."""

    def __init__(self, platform, home: Path) -> None:
        git = {f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DELIVERY_", "XDG_"))}
        self.environment = {**kept, **git, "HOME": str(home), "DELIVERY_KEYRING": "off", "NO_PROXY": "*"}
        self.environment["PATH"] = f"{ROOT / 'cli' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.url, self.token, self.cwd = platform.stack.addresses["api"], platform.stack.token(), home

    def __call__(self, *arguments: str, code: int = 0, token: str = "", given: str = "") -> str:
        done = subprocess.run(
            ["delivery", *arguments],
            cwd=self.cwd,
            env={**self.environment, "DELIVERY_URL": self.url, "DELIVERY_TOKEN": token or self.token},
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str, **options):
        return json.loads(self(*arguments, "--json", **options))


@pytest.fixture
def delivery(platform, tmp_path):
    return Commands(platform, tmp_path)


def test_the_tutorial_works_as_it_stands(platform, delivery, tmp_path):
    """But for the organization's name, which the stack of all tests has already."""
    script = PRELUDE + "".join(BLOCKS).replace("--create-org acme", "--create-org tutorial")
    addresses = json.dumps(platform.stack.addresses)
    environment = {**delivery.environment, "ADDRESSES": addresses, "TOKEN": delivery.token, "PYTHON": sys.executable}
    done = subprocess.run(
        [shutil.which("bash") or "sh", "-c", script], cwd=ROOT, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("live at http://dev.hello.tutorial.localhost") == 2, done.stdout
    assert re.search(r"errors .* evidence [0-9.]+ of 100", done.stdout), done.stdout
    last = done.stdout.splitlines()[-2:]
    assert [line.split("\t")[:3] for line in last] == [["2.0.0", "dev", "rolled_back"], ["1.0.0", "dev", "success"]]
    assert "token" not in done.stdout.lower()
    assert delivery.token not in done.stdout + done.stderr


FORM = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def browse(address: str, password: str) -> None:
    """What a person does whom the command sends to the login page."""
    root = address.partition("/oauth/")[0]
    with httpx2.Client(timeout=60, trust_env=False) as browser:
        steps = ({"action": "login", "email": "admin@delivery.localhost", "password": password}, {"action": "allow"})
        for fields in steps:
            form = {name: html.unescape(value) for name, value in FORM.findall(browser.get(address).text)}
            answer = browser.post(address, data={**form, **fields})
            assert answer.status_code == 303, answer.text
        back = answer.headers["location"]
        assert re.match(r"http://127\.0\.0\.1:\d+/callback\?", back), (root, back)
        assert "You are logged in" in browser.get(back).text


def test_a_login_in_the_browser_is_renewed_and_ends_with_the_logout(platform, delivery, tmp_path):
    password = re.search(r"with the password (\S+)", platform.stack._command("admin-password"))[1]
    command = ["delivery", "login", delivery.url, "--no-browser"]
    with subprocess.Popen(
        command, env=delivery.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as login:
        address = next(line.strip() for line in login.stderr if "/oauth/authorize" in line)
        browse(address, password)
        assert login.wait(120) == 0
        said = login.stdout.read() + login.stderr.read()
    file = tmp_path / ".config" / "delivery" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = json.loads(file.read_text())["default"]
    assert first["access_token"] not in said

    def whoami(code: int = 0) -> str:
        done = subprocess.run(
            ["delivery", "whoami", "--jq", ".role"],
            env=delivery.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert whoami() == "platform_admin\n"
    file.write_text(json.dumps({"default": {**first, "expires_at": 0}}))
    assert whoami() == "platform_admin\n"
    second = json.loads(file.read_text())["default"]
    assert second["refresh_token"] != first["refresh_token"]
    subprocess.run(["delivery", "logout"], env=delivery.environment, check=True, timeout=120, capture_output=True)
    file.write_text(json.dumps({"default": {**second, "expires_at": 0}}))
    assert "your login has ended" in whoami(2)


@pytest.mark.deep
def test_a_deployment_is_approved_held_and_aborted(platform, delivery):
    app = platform.app("by-command")
    delivery.cwd = Path(app.repository.folder)
    app.repository.commit("1.0.0", files={"delivery.yaml": app.spec()})
    where = ("--org", "acme", "--env", "staging")
    waiting = delivery("deploy", *where, "--yes", "--request-approval", "--watch", "--json", code=4)
    assert json.loads(waiting)["status"] == "awaiting_approval"
    assert delivery.json("status", *where, code=4)["version_tag"] == "1.0.0"
    delivery("approve", *where, code=1)  # four eyes
    delivery("approve", *where, "-m", "looked at it", token=platform.stack.token(sub="grace"))
    assert "live at" in delivery("status", *where, "--watch", "--timeout", "300")
    assert "hello" in delivery("logs", *where)

    app.repository.commit("2.0.0")
    held = json.loads(delivery("deploy", *where, "--canary", "0", "--watch", "--json", code=4))
    assert (held["status"], held["weight"], held["exit_code"]) == ("paused", 0, 4)
    assert delivery("diff", *where).count("Version 2.0.0") <= 1
    delivery("abort", *where, code=2)  # nobody can be asked
    delivery("abort", *where, "--yes", "-m", "not today")
    until(
        lambda: delivery.json("env", "show", "staging", "--org", "acme")["lock"] is None, "the end of the rollout", 240
    )
    assert [one["status"] for one in delivery.json("history", *where)] == ["cancelled", "success"]
