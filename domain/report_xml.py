"""Reports in XML, read as a stream of events that keeps counts and never a tree: 8 MiB take 232 MiB as one."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from domain.errors import ErrorCode, TerminalError

MAX_REPORT = 32 * 1024 * 1024
MAX_NUMBER = 64
MAX_DEPTH = 100
MAX_COUNT = 2**53
MAX_SHOWN = 50
# XML has no word for them, and yet tests print them: what colours a terminal, for one.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class OtherFormatError(TerminalError):
    """It is well formed so far, and a report of another kind."""


class Elements:
    """What expat tells of a document; of everything it keeps the root's name and attributes.

    `kind`: what it is called in messages. `roots`: names of the elements it may begin with.
    """

    kind: ClassVar[str]
    roots: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.depth = 0
        self.root_name = ""
        self.root: Mapping[str, str] = {}

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if self.depth == 0:
            self.root_name, self.root = name, dict(attributes)
            self.check_root()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise invalid(f"the report's elements are nested deeper than {MAX_DEPTH}")
        self.opened(name, attributes)

    def check_root(self) -> None:
        """Whether the document is what it should be; raises `OtherFormatError`."""
        if self.root_name not in self.roots:
            wanted = "> or <".join(self.roots)
            raise other_format(
                f"the {self.kind} report begins with <{self.root_name[:MAX_SHOWN]}>, expected <{wanted}>"
            )

    def end(self, _tag: str) -> None:
        self.closed()
        self.depth -= 1

    def data(self, text: str) -> None:
        """Text between tags."""

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def closed(self) -> None:
        """An element ends."""

    def close(self) -> None:
        """The document ends."""


def read_elements(chunks: Iterable[str], report: Elements) -> None:
    """Read a document to its end, given in pieces.

    Raises:
        OtherFormatError: its root is none of those the report may begin with.
        TerminalError: TEST_REPORT_INVALID.
    """
    parser, size = DefusedXMLParser(target=report), 0
    try:
        for chunk in chunks:
            text = chunk if size else chunk.lstrip("\ufeff \t\r\n")
            size += len(text)
            if size > MAX_REPORT:
                raise invalid(f"the {report.kind} report is larger than {MAX_REPORT // 2**20} MiB")
            parser.feed(_NO_XML.sub("\ufffd", text))
        parser.close()
    except ParseError as error:
        raise invalid(f"the {report.kind} report is not XML: {error}") from None
    except (DefusedXmlException, ValueError):
        raise invalid(f"the {report.kind} report defines XML entities, which are not accepted") from None


def invalid(message: str) -> TerminalError:
    """The error of a report that cannot be believed."""
    return TerminalError(f"{message}; look at `test` in delivery.yaml", code=ErrorCode.TEST_REPORT_INVALID)


def other_format(message: str) -> OtherFormatError:
    """The error of a report of another kind."""
    return OtherFormatError(f"{message}; look at `test` in delivery.yaml", code=ErrorCode.TEST_REPORT_INVALID)


def number_of(attributes: Mapping[str, str], name: str) -> float | None:
    """An attribute as a number that is neither negative nor endless; surefire writes `1,234.5`."""
    text = attributes.get(name, "")
    if len(text) > MAX_NUMBER:
        return None
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return min(number, float(MAX_COUNT)) if math.isfinite(number) and number >= 0 else None
