"""What is planted in the apps beside this file: true findings, and what only looks like one.

The secrets are made anew for each run: `@@name@@` in the sources stands for one.
"""

import base64
import hashlib
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

APPS: Final = Path(__file__).parent / "apps"
NAMES: Final = ("python", "node", "go")
_LETTERS = string.ascii_letters + string.digits
_PLACE = re.compile(r"@@(\w+)@@")


def _some(length: int, alphabet: str = _LETTERS) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _jwt() -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"board","admin":true}', secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _pem() -> str:
    body = base64.b64encode(secrets.token_bytes(192)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {'RSA'} PRIVATE KEY-----\n{lines}\n-----END {'RSA'} PRIVATE KEY-----"


MAKERS: Final[dict[str, Callable[[], str]]] = {
    "stripe": lambda: "sk_" + "live_" + _some(24),
    "github": lambda: "ghp" + "_" + _some(36),
    "aws": lambda: "AKIA" + _some(16, string.ascii_uppercase + string.digits),
    "jwt": _jwt,
    "pem": _pem,
    "password": lambda: "Hunter" + _some(8),
    "password2": lambda: "Winter" + _some(8),
    "part1": lambda: "ghp" + "_" + _some(6),
    "part2": lambda: _some(15),
    "part3": lambda: _some(15),
    "sha256": lambda: hashlib.sha256(secrets.token_bytes(8)).hexdigest(),
}
# No secrets: nothing is to be hidden of them.
OPEN: Final = frozenset({"sha256"})


def copy(name: str, to: Path) -> dict[str, str]:
    """The app with its secrets filled in, and these by their names."""
    made: dict[str, str] = {}

    def fill(match: re.Match[str]) -> str:
        return made.setdefault(match[1], MAKERS[match[1]]())

    for source in sorted((APPS / name).rglob("*")):
        if source.is_file() and source.parent.name != "__pycache__":
            target = to / source.relative_to(APPS / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_PLACE.sub(fill, source.read_text()))
    return made


@dataclass(frozen=True)
class Planted:
    """One thing at one place.

    Attributes:
        words: in the line of the file where it is; empty: the whole file.
        tool: who can find it; empty: nobody that comes with the engine.
        rule: by which rule; empty: by any.
        is_true: a weakness; False: only looks like one, and must not be told.
        missed: nobody finds it: why.
    """

    app: str
    path: str
    words: str
    tool: str
    rule: str = ""
    is_true: bool = True
    missed: str = ""


def _true(app: str, path: str, words: str, tool: str, rule: str) -> Planted:
    return Planted(app, path, words, tool, rule)


def _false(app: str, path: str, words: str, tool: str, rule: str = "") -> Planted:
    return Planted(app, path, words, tool, rule, is_true=False)


def _missed(app: str, path: str, words: str, why: str) -> Planted:
    return Planted(app, path, words, "", missed=why)


SECRETS, CODE, DOCKER, DEPENDENCIES = "detect-secrets", "bandit", "hadolint", "advisories"
PLANTED: Final = (
    # secrets
    _true("python", "app.py", "PAYMENT_KEY =", SECRETS, "Stripe Access Key"),
    _true("python", "settings.ini", "url =", SECRETS, "Basic Auth Credentials"),
    _true("node", "server.js", "githubToken =", SECRETS, "GitHub Token"),
    _true("node", "server.js", "session =", SECRETS, "JSON Web Token"),
    _true("node", "deploy.pem", "BEGIN", SECRETS, "Private Key"),
    _true("go", "main.go", "awsKey =", SECRETS, "AWS Access Key"),
    _true("go", "main.go", "adminPassword =", SECRETS, "Secret Keyword"),
    _missed("node", "server.js", "split =", "a secret put together from three parts"),
    _false("python", "app.py", "The checksum of the catalogue", SECRETS),
    _false("python", "app.py", "PASSWORD = os.environ", SECRETS),
    _false("python", "app.py", "TENANT_ID =", SECRETS),
    _false("python", "settings.ini", "password = ${MAIL", SECRETS),
    _false("python", "README.md", "SHOP_PASSWORD", SECRETS),
    _false("python", "README.md", "API_KEY", SECRETS),
    _false("node", "server.js", "token = process.env", SECRETS),
    _false("node", "server.js", "placeholder = {", SECRETS),
    _false("node", "package-lock.json", "integrity", SECRETS),
    _false("go", "go.sum", "h1:", SECRETS),
    _false("go", "main.go", "apiToken = os.Getenv", SECRETS),
    # code
    _true("python", "app.py", "SELECT * FROM orders WHERE customer", CODE, "B608"),
    _true("python", "app.py", "shell=True", CODE, "B602"),
    _true("python", "app.py", "yaml.load(", CODE, "B506"),
    _true("python", "app.py", "pickle.loads", CODE, "B301"),
    _true("python", "app.py", "eval(", CODE, "B307"),
    _true("python", "app.py", "md5(text.encode()).", CODE, "B324"),
    _true("python", "app.py", "verify=False", CODE, "B501"),
    _true("python", "app.py", "debug=True", CODE, "B201"),
    _missed("node", "server.js", 'exec("convert', "JavaScript: semgrep, where an operator has it"),
    _missed("node", "server.js", "eval(", "JavaScript: semgrep, where an operator has it"),
    _missed("go", "main.go", "fmt.Fprintf", "Go: semgrep, where an operator has it"),
    _false("python", "app.py", "SELECT * FROM orders WHERE id", CODE),
    _false("python", "app.py", "yaml.safe_load", CODE),
    _false("python", "app.py", "usedforsecurity=False", CODE),
    _false("python", "app.py", '"git", "describe"', CODE),
    _false("python", "test_app.py", "assert", CODE),
    # Dockerfiles
    _true("python", "Dockerfile", "FROM python:latest", DOCKER, "DL3007"),
    _true("python", "Dockerfile", "apt-get install curl", DOCKER, "DL3008"),
    _true("python", "Dockerfile", "cd /app", DOCKER, "DL3003"),
    _true("node", "Dockerfile", "USER root", DOCKER, "DL3002"),
    _true("node", "Dockerfile", "sudo npm", DOCKER, "DL3004"),
    _true("node", "Dockerfile", "ADD server.js", DOCKER, "DL3020"),
    _false("node", "Dockerfile", "FROM node", DOCKER, "DL3006"),
    _false("go", "Dockerfile", "FROM golang", DOCKER),
    _false("go", "Dockerfile", "FROM scratch", DOCKER),
    # dependencies: the words are the package's name
    _true("python", "requirements.txt", "jinja2", DEPENDENCIES, "GHSA-g3rq-g295-4j3m"),
    _true("node", "package-lock.json", "lodash", DEPENDENCIES, "GHSA-35jh-r3h4-6jhm"),
    _true("node", "package-lock.json", "minimist", DEPENDENCIES, "GHSA-xvch-5gv4-984h"),
    _true("go", "go.mod", "golang.org/x/text", DEPENDENCIES, "GHSA-ppp9-7jff-5vj2"),
    _false("python", "requirements.txt", "requests", DEPENDENCIES),
    _false("python", "requirements.txt", "flask", DEPENDENCIES),
    _false("node", "package-lock.json", "ms", DEPENDENCIES),
    _false("go", "go.sum", "golang.org/x/tools", DEPENDENCIES),
)


def line_of(tree: Path, planted: Planted) -> int:
    """Where it is, from 1."""
    lines = (tree / planted.path).read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if planted.words in line)
