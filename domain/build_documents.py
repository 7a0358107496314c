"""The documents that are kept with a build."""

from enum import StrEnum
from typing import Final

MAX_DOCUMENT: Final = 32 * 1024 * 1024


class DocumentKind(StrEnum):
    """What a document is."""

    SCAN = "scan"  # a `domain.findings.ScanResult` as JSON: dependencies, findings, what ran
    SARIF = "sarif"
    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"
    PROVENANCE = "provenance"  # a DSSE envelope
