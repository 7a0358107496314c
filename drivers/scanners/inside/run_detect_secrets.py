"""`python run_detect_secrets.py PACKAGES FILES`: detect-secrets' plugins over the files listed in FILES, below `.`.

Its plugins and filters, with a loop of our own: its `scan_file` costs a third of a millisecond a line, most of it in
calling functions by the names of their arguments. A plugin whose pattern is nowhere in a file is not asked of lines.
No baseline of the tree is read; `pragma: allowlist secret` counts. A secret itself is never printed: a hash tells one
from another, made slowly where the value may be guessed.

Prints one JSON object; `complete` is its last field.
"""

import codecs
import hashlib
import io
import json
import re
import signal
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

# Longer lines are looked at in pieces: the patterns are not made for them.
PIECE, OVERLAP = 4096, 256
MAX_BYTES = 2 * 1024 * 1024
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as PowerShell and Visual Studio write texts
MAX_FOUND = 500  # of a kind
# Seconds of computing for one file: some patterns take the square of a line's length, if it is made for that.
FILE_CPU_S = 5
ALLOWED = "detect_secrets.filters.allowlist.is_line_allowlisted"
# An address is no secret; and what only looks random is a checksum, an id or data thousands of times for each secret.
LEFT_OUT = {"IPPublicDetector", "Base64HighEntropyString", "HexHighEntropyString"}
# It passes over whatever has "swagger" in its path, sources and settings among it.
BLIND = "detect_secrets.filters.heuristic.is_swagger_file"
# It goes by what a value is called.
GENERAL = {"Secret Keyword"}
# Their values are words that somebody chose.
GUESSABLE = {"Secret Keyword", "Basic Auth Credentials"}
# And these are the words that stand for one.
PLACEHOLDER = re.compile(
    r"[<{$%*.].*|x+|(my|your|the)?[-_ ]?(pass(word|wd|phrase)?|pw|pwd|secret|token|key|credentials?|api[-_]?key)",
    re.IGNORECASE | re.DOTALL,
)


def main(packages: str, listed: str) -> int:
    """0; whatever goes wrong for one file is said in `skipped`."""
    sys.path.insert(0, packages)
    sys.modules["requests"] = _nothing_to_ask_with()
    from detect_secrets.__version__ import VERSION
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.settings import get_settings, transient_settings

    plugins = [{"name": each.__name__} for each in get_mapping_from_secret_type_to_class().values()]
    wanted = [plugin for plugin in plugins if plugin["name"] not in LEFT_OUT]
    signal.signal(signal.SIGVTALRM, _too_slow)
    with transient_settings({"plugins_used": wanted}):
        get_settings().disable_filters(BLIND)
        search = Search()
        for path in Path(listed).read_text(encoding="utf-8").split("\0"):
            search.file(path)
    json.dump({"version": VERSION, **search.told(), "complete": True}, sys.stdout)
    return 0


def _nothing_to_ask_with() -> types.ModuleType:
    """In the place of `requests`, by which plugins ask a provider whether a secret is still good: we never do."""
    module = types.ModuleType("requests")
    vars(module).update(Response=object, exceptions=types.SimpleNamespace(RequestException=OSError))
    return module


class TooSlow(Exception):  # noqa: N818 - a signal's
    """A file took more than `FILE_CPU_S`. Patterns look for signals while they search."""


def _too_slow(*_: Any) -> NoReturn:
    raise TooSlow


class Hit(NamedTuple):
    """What a plugin takes for a secret."""

    path: str
    number: int
    line: str
    plugin: Any
    kind: str
    value: str


class Search:
    """Goes through files, one after another."""

    def __init__(self) -> None:
        from detect_secrets.settings import get_plugins

        self._plugins = list(get_plugins())
        self.results: list[dict[str, Any]] = []
        self.kept: Counter[str] = Counter()
        self.suppressed, self.more = 0, 0
        self.skipped: list[tuple[str, str]] = []

    def told(self) -> dict[str, Any]:
        return {
            "results": self.results,
            "suppressed": self.suppressed,
            "skipped": self.skipped,
            "more": self.more,
        }

    def file(self, path: str) -> None:
        from detect_secrets.core.scan import _is_filtered_out

        if _is_filtered_out(required_filter_parameters=["filename"], filename=path):
            return
        try:
            with Path(path).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            self.skipped.append((path, f"cannot be read: {error.strerror}"))
            return
        if len(raw) > MAX_BYTES:
            self.skipped.append((path, f"larger than {MAX_BYTES >> 20} MiB"))
            return
        encoding = "utf-16" if raw.startswith(UTF_16) else "utf-8"
        if encoding == "utf-8" and b"\0" in raw[:8192]:
            return
        signal.setitimer(signal.ITIMER_VIRTUAL, FILE_CPU_S)
        try:
            self._text(path, raw.decode(encoding, errors="replace"))
        except TooSlow:
            self.skipped.append((path, "takes too long"))
        except (ValueError, RecursionError, ArithmeticError) as error:
            self.skipped.append((path, f"not understood: {type(error).__name__}"))
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _text(self, path: str, text: str) -> None:
        """As `scan_file`: as the file's format has it, and by the eager way when that says nothing."""
        from detect_secrets.transformers import get_transformed_file

        named = io.StringIO(text)
        named.name = path
        lines = get_transformed_file(named) or text.splitlines()
        if not self._lines(path, lines):
            named.seek(0)
            eager = get_transformed_file(named, use_eager_transformers=True)
            if eager:
                self._lines(path, eager)

    def _lines(self, path: str, lines: list[str]) -> bool:
        text = "\n".join(lines)
        asked = [plugin for plugin in self._plugins if _may(plugin, text)]
        found = False
        named = _lines_with_keywords(text)
        for number, line in enumerate(lines, start=1):
            here = [plugin for plugin in asked if number in named or not hasattr(plugin, "keyword_exclude")]
            for hit in _hits(path, number, line.rstrip(), here) if here else ():
                found = self._hit(hit, lines) or found
        return found

    def _hit(self, hit: Hit, lines: list[str]) -> bool:
        from detect_secrets.filters.allowlist import is_line_allowlisted
        from detect_secrets.util.code_snippet import get_code_snippet

        if _is_none(hit):
            return False
        whole = lines[hit.number - 1].rstrip()
        if is_line_allowlisted(hit.path, whole[-PIECE:], get_code_snippet(lines, hit.number)):
            self.suppressed += 1
            return False
        if self.kept[hit.kind] >= MAX_FOUND:
            self.more += 1
            return True
        self.kept[hit.kind] += 1
        known = {"rule": hit.kind, "path": hit.path, "line": hit.number, "hash": _hash(hit.kind, hit.value)}
        self.results.append(known)
        return True


def _hits(path: str, number: int, line: str, plugins: list[Any]) -> list[Hit]:
    """What plugins find in a line; of two that found the same, the one that knows what it is."""
    hits = {
        (secret.type, secret.secret_value): Hit(path, number, piece, plugin, secret.type, secret.secret_value)
        for piece in _pieces(line)
        for plugin in (plugins if piece is line else _that_may(plugins, piece))
        for secret in plugin.analyze_line(filename=path, line=piece, line_number=number)
        if secret.secret_value
    }
    known = [hit for hit in hits.values() if hit.kind not in GENERAL]
    return [
        *known,
        *(
            hit
            for hit in hits.values()
            if hit.kind in GENERAL and not any(hit.value in each.value or each.value in hit.value for each in known)
        ),
    ]


def _is_none(hit: Hit) -> bool:
    """Whether its filters say that it is none: a placeholder, a word with `id` before it, a sequence."""
    from detect_secrets.core.scan import _is_filtered_out

    if hit.kind in GUESSABLE and PLACEHOLDER.fullmatch(hit.value.strip()):
        return True
    return bool(
        _is_filtered_out(
            required_filter_parameters=["secret"],
            filename=hit.path,
            secret=hit.value,
            plugin=hit.plugin,
            line=hit.line,
        )
    )


def _may(plugin: Any, text: str) -> bool:
    """Whether a plugin can find anything in the lines of a text. Anchored patterns mean lines: those are asked."""
    patterns = getattr(plugin, "denylist", None)
    if not patterns:
        return True
    return any("^" in each.pattern or "$" in each.pattern or each.search(text) for each in patterns)


def _that_may(plugins: list[Any], piece: str) -> list[Any]:
    """Of a long line most pieces are for none of the slow ones: a minified bundle is one line of a megabyte."""
    named = bool(_lines_with_keywords(piece))
    return [plugin for plugin in plugins if _may(plugin, piece) and (named or not hasattr(plugin, "keyword_exclude"))]


def _lines_with_keywords(text: str) -> set[int]:
    """The numbers of the lines that `KeywordDetector` may find something in, by one search."""
    from detect_secrets.plugins.keyword import DENYLIST

    found, line, at = set(), 1, 0
    for match in re.finditer("|".join(DENYLIST), text, re.IGNORECASE):
        line += text.count("\n", at, match.start())
        at = match.start()
        found.add(line)
    return found


def _pieces(line: str) -> Iterator[str]:
    if len(line) <= PIECE:
        yield line
        return
    for at in range(0, len(line), PIECE - OVERLAP):
        yield line[at : at + PIECE]


def _hash(kind: str, value: str) -> str:
    raw = value.encode("utf-8", errors="replace")
    if kind in GUESSABLE:
        return hashlib.scrypt(raw, salt=b"delivery-finding", n=1 << 12, r=8, p=1, dklen=16).hex()
    return hashlib.sha256(b"delivery-finding" + raw).hexdigest()[:32]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
