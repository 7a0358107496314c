"""Names of packages, one spelling for each package, and which names there can be."""

import re
from typing import Final

from domain.findings import Ecosystem

_SEPARATORS = re.compile(r"[-_.]+")
_NAMES: Final = {
    Ecosystem.PYPI: re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE),
    Ecosystem.NPM: re.compile(r"(@[A-Za-z0-9._~!'()*-]+/)?[A-Za-z0-9._~!'()*-]+"),
    Ecosystem.GO: re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~+-]+)*"),
    Ecosystem.MAVEN: re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+"),
}
MAX_NAME: Final = 512


def normal_name(ecosystem: Ecosystem, name: str) -> str:
    """As advisories and we look for it: only PyPI has several spellings of one name (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower() if ecosystem is Ecosystem.PYPI else name


def is_name(ecosystem: Ecosystem, name: object) -> bool:
    """Whether a package there can have this name."""
    return isinstance(name, str) and len(name) <= MAX_NAME and _NAMES[ecosystem].fullmatch(name) is not None
