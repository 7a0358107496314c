"""References of container images in the grammar of github.com/distribution/reference: `registry:5000/a:tag@digest`."""

import re

MAX_REFERENCE = 1024
MAX_NAME = 255
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
# The whole pattern for documents, which allow no named groups.
GRAMMAR = rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?"
_REFERENCE = re.compile(rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::{_TAG})?(?:@{_DIGEST})?")


def is_image_reference(text: str) -> bool:
    """Whether a container engine would accept this as an image name. It has no scheme and no credentials."""
    if len(text) > MAX_REFERENCE:
        return False
    found = _REFERENCE.fullmatch(text)
    return found is not None and len(found["name"]) <= MAX_NAME
