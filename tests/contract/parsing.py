"""The contract document, read: its endpoints with their rules and examples, and its other blocks.

Its YAML-looking blocks are no YAML (examples stand in them as they are), so they are read line by line.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).with_name("api-contract.md")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_ENDPOINT = re.compile(r"#### ((?:GET|POST|PUT|PATCH|DELETE) /\S+)\n+```yaml\n(.*?)```", re.DOTALL)
_ASYNC = re.compile(r"^((?:GET|POST) /\S+)[^\n]*\nResponse \((\d+)\):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^(?:- )?(\w+): (\w+(?:\[\])?)(?: \((.*)\))?$")
_STATUS = re.compile(r"^(\d{3}): (.*)$")


@dataclass(frozen=True)
class Rule:
    """One field or parameter. `inner`: the fields of the objects in a list."""

    name: str
    kind: str
    words: str = ""
    inner: tuple["Rule", ...] = ()

    @property
    def required(self) -> bool | None:
        """Whether it must be given; None: sometimes, or the contract does not say."""
        if re.search(r"required (if|for) ", self.words):
            return None
        if "required" in self.words:
            return True
        return False if "optional" in self.words or "default:" in self.words else None

    @property
    def enum(self) -> list[str] | None:
        return self.words.split(", ") if self.kind == "enum" else None

    @property
    def default(self) -> Any:
        found = re.search(r"default: (\w+)", self.words)
        return json.loads(found[1]) if found else None

    @property
    def pattern(self) -> str | None:
        found = re.search(r"pattern: (\S+)", self.words)
        return found[1] if found else None

    @property
    def format(self) -> str | None:
        found = re.search(r"format: (\w+)", self.words)
        return found[1] if found else None

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """Smallest and largest: of a number its value, of a text or list its length."""
        span = re.match(r"(\d+)-(\d+)\b", self.words)
        if span:
            return int(span[1]), int(span[2])
        least, most = re.search(r"min: (\d+)", self.words), re.search(r"max: (\d+)", self.words)
        return (int(least[1]) if least else None, int(most[1]) if most else None)


@dataclass(frozen=True)
class Example:
    """What is sent (None: no body) or answered, with its status."""

    body: Any
    status: int | None = None
    path: str | None = None


@dataclass
class Endpoint:
    """One block of the contract."""

    name: str
    summary: str = ""
    public: bool = False
    permissions: list[str] = field(default_factory=list)
    query: list[Rule] = field(default_factory=list)
    body: list[Rule] = field(default_factory=list)
    statuses: dict[int, str] = field(default_factory=dict)
    codes: dict[int, str] = field(default_factory=dict)
    request: Example | None = None
    responses: list[Example] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self.name.split()[0]

    @property
    def path(self) -> str:
        """As OpenAPI writes it, relative to the versioned base."""
        return re.sub(r":(\w+)", r"{\1}", self.name.split()[1])


def text() -> str:
    return DOCUMENT.read_text()


def endpoints() -> list[Endpoint]:
    """Every endpoint of "Core API Endpoints", then those of "Async Operations"."""
    found = [_endpoint(name, block) for name, block in _ENDPOINT.findall(text())]
    return found + list(_async_endpoints())


def json_after(heading: str) -> Any:
    """The JSON block under a heading."""
    return _json(block_after(heading))


def block_after(heading: str) -> str:
    """The block under a heading, as it stands."""
    found = _BLOCK.search(text(), text().index(f" {heading}\n"))
    assert found, heading
    return found[2]


def _async_endpoints() -> Iterator[Endpoint]:
    known: dict[str, Endpoint] = {}
    for name, status, body in _ASYNC.findall(block_after("Long-Running Operations")):
        endpoint = known.setdefault(name, Endpoint(name))
        endpoint.statuses[int(status)] = ""
        endpoint.responses.append(Example(_json(body), int(status)))
    yield from known.values()


def _endpoint(name: str, block: str) -> Endpoint:
    made = Endpoint(name)
    for head, lines in _sections(block):
        _read(made, head, lines)
    return made


def _sections(block: str) -> Iterator[tuple[str, list[str]]]:
    """The lines under each word that stands at the left margin."""
    head, lines = "", []
    for line in block.splitlines():
        if line and not line.startswith(" "):
            if head:
                yield head, lines
            head, lines = line, []
        else:
            lines.append(line)
    yield head, lines


def _read(made: Endpoint, head: str, lines: list[str]) -> None:
    name, _, rest = head.partition(":")
    if name == "Summary":
        made.summary = rest.strip()
    elif name == "Security":
        made.public = rest.strip() == "None required"
    elif name == "Permissions":
        made.permissions = re.findall(r"\w+:\w+", rest)
    elif name == "Query Parameters":
        made.query = _rules(lines)
    elif name == "Request Body":
        made.body = _rules(lines)
    elif name == "Response":
        _read_statuses(made, lines)
    elif name == "Example Request":
        path, body = lines[0].split()[1], "\n".join(lines[1:]).strip()
        made.request = Example(_json(body) if body else None, path=path)
    elif name.startswith("Example Response"):
        body = _json("\n".join(lines))
        said = re.search(r"\((\d+)\)", name)
        made.responses.append(Example(body, int(said[1]) if said else body["status"]))


def _rules(lines: list[str]) -> list[Rule]:
    made: list[Rule] = []
    for line in lines:
        found = _FIELD.match(line.strip())
        if not found:
            assert not line.strip(), f"not understood: {line}"
            continue
        rule = Rule(found[1], found[2], found[3] or "")
        if made and line.startswith("    "):  # a field of the objects in the list above
            made[-1] = Rule(made[-1].name, made[-1].kind, made[-1].words, (*made[-1].inner, rule))
        else:
            made.append(rule)
    return made


def _read_statuses(made: Endpoint, lines: list[str]) -> None:
    last = 0
    for line in lines:
        if found := _STATUS.match(line.strip()):
            last = int(found[1])
            made.statuses[last] = found[2]
        elif "error.code:" in line:
            made.codes[last] = line.split(":")[1].strip()


def _json(body: str) -> Any:
    return json.loads(body.replace("[...]", '["..."]'))
