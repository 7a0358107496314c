"""User text, checked before it is stored and shown to others: names of one line, and texts of many lines."""

import re
import unicodedata
from typing import Final

# Maximum number of marks after one letter: enough for any script in use, too few to paint over other lines.
MAX_MARKS: Final = 4
MAX_IN_A_ROW: Final = 30
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_MARKS: Final = frozenset({"Mn", "Me"})
_LINE_ENDS: Final = re.compile("\r\n|\r|\u2028|\u2029")
_SPACES: Final = re.compile(" {2,}")
_VIRAMA: Final = 9  # canonical combining class of joining marks in Indic scripts
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_SELECTORS: Final = frozenset(map(chr, range(0xFE00, 0xFE10))) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
# Letters, marks and symbols that are invisible: Default_Ignorable_Code_Point beside format characters, braille's blank.
_INVISIBLE: Final = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x2800, 0x3164, 0xFFA0))
) | frozenset(map(chr, (*range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE0100), *range(0xE01F0, 0xE1000))))
# Flags of England, Scotland and others: a black flag, the region in tags, the end (UTS #51, emoji tag sequences).
_FLAG: Final = "\U0001f3f4"
_REGION: Final = frozenset(map(chr, (*range(0xE0030, 0xE003A), *range(0xE0061, 0xE007B))))
_TAGS: Final = re.compile(f"{_FLAG}[{''.join(sorted(_REGION))}]{{3,6}}\U000e007f")
_LONGEST_FLAG: Final = 7
_WAVY_DASH: Final = "\u3030"
# These change the direction of the following text (Trojan Source, CVE-2021-42574): refused in texts as well.
_BIDI: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
# Not text at all: NUL, lone surrogates, noncharacters. Searched with a regular expression: a body has a million
# characters.
_ENDS: Final = "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
_BROKEN: Final = re.compile(f"[\x00\ud800-\udfff\ufdd0-\ufdef{_ENDS}]")
_NOT_IN_TEXT: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{''.join(sorted(_BIDI))}]")
_SELECTED: Final = frozenset({"So", "Sm", "Po", "Nd", "Lo"})


def nfc(text: str) -> str:
    """Unicode's normal form C.

    Raises:
        ValueError: it is not stream-safe (UAX #15, D3): sorting consecutive marks takes quadratic time, 4 s for 20,000
            of them.
    """
    if text.isascii():
        return text
    in_row = 0
    for one in text:
        in_row = in_row + 1 if unicodedata.combining(one) else 0
        if in_row > MAX_IN_A_ROW:
            raise ValueError(f"must not have more than {MAX_IN_A_ROW} combining marks in a row")
    return unicodedata.normalize("NFC", text)


def name_of(text: str) -> str:
    """A name in stored form: NFC, trimmed, one space in place of several or unusual ones.

    Raises:
        ValueError: it has an invisible character, or one that changes how others are shown; the message names it.
    """
    text = nfc(_checked(text))
    text = _SPACES.sub(" ", "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)).strip(" ")
    marks = 0
    for place, one in enumerate(text):
        _check_named(text, place)
        marks = marks + 1 if unicodedata.category(one) in _MARKS and one not in _SELECTORS else 0
        if marks > MAX_MARKS:
            raise ValueError(f"must not have more than {MAX_MARKS} combining marks on one character")
    if text and unicodedata.category(text[0]) in _MARKS:
        raise ValueError(f"must not begin with {_called(text[0])}: it would change what stands before the name")
    return text


def text_of(text: str) -> str:
    """A text of many lines in stored form: NFC, line feeds as line ends.

    Raises:
        ValueError: it has a control character other than line feed and tab, or one that changes the text's direction.
    """
    text = nfc(_LINE_ENDS.sub("\n", _checked(text)))
    if found := _NOT_IN_TEXT.search(text):
        raise ValueError(f"must not contain {_called(found[0])}")
    return text


def shown(text: str) -> str:
    """Any text as one line that is safe to show: characters that `name_of` refuses are replaced.

    For text stored before these rules, and for foreign text: from git, other issuers.
    """
    text = _BROKEN.sub(REPLACEMENT, text)
    try:
        text = nfc(text)
    except ValueError:
        text = "".join(REPLACEMENT if unicodedata.combining(one) else one for one in text)
    out: list[str] = []
    marks = 0
    for place, one in enumerate(text):
        marks = marks + 1 if unicodedata.category(one) in _MARKS else 0
        good = marks <= MAX_MARKS and _is_named(text, place)
        out.append(" " if unicodedata.category(one) == "Zs" else one if good else REPLACEMENT)
    return "".join(out)


def _checked(text: str) -> str:
    if found := _BROKEN.search(text):
        raise ValueError(f"must not contain {_called(found[0])}")
    return text


def _check_named(text: str, place: int) -> None:
    if not _is_named(text, place):
        raise ValueError(f"must not contain {_called(text[place])}")


def _is_named(text: str, place: int) -> bool:
    """Whether a name may have this character at this position."""
    one = text[place]
    if one == " " or (one.isascii() and one.isprintable()):
        return True
    before = text[place - 1] if place else ""
    if one in (_JOINER, _NON_JOINER):
        return _joins(text, place, before)
    if one in _SELECTORS:
        is_selected = unicodedata.category(before) in _SELECTED or before == _WAVY_DASH if before else False
        return is_selected and before not in _SELECTORS
    if one in _REGION or one == "\U000e007f":
        return _is_flag(text, place)
    return one not in _INVISIBLE and unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _is_flag(text: str, place: int) -> bool:
    """Whether a tag character belongs to a complete flag."""
    start = text.rfind(_FLAG, max(0, place - _LONGEST_FLAG), place)
    found = _TAGS.match(text, start) if start >= 0 else None
    return found is not None and place < found.end()


def _joins(text: str, place: int, before: str) -> bool:
    """Where a joiner changes the rendering (RFC 5892, A.1 and A.2), and inside emoji sequences."""
    after = text[place + 1] if place + 1 < len(text) else ""
    if not before or not after:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if text[place] == _NON_JOINER:  # between letters of Arabic script
        return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    is_picture = unicodedata.category(before) in {"So", "Sk"} or before in _SELECTORS
    return is_picture and unicodedata.category(after) in {"So", "Sm"}


def _called(one: str) -> str:
    return f"U+{ord(one):04X} ({unicodedata.name(one, 'a control character')})"
