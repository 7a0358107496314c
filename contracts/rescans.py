"""Re-scans: packages of what is live, compared with today's advisories."""

from uuid import UUID

from contracts.payload import BoundedText, Payload
from contracts.policies import RESCAN
from contracts.stubs import ActivityStub


class RescanOrder(Payload):
    """Go through the builds that are live; `after`: those with greater ids, as one that went on says."""

    after: UUID | None = None
    builds: int = 0
    detected: int = 0
    failed: int = 0


class RescanPage(Payload):
    """Compare the packages of the next few builds."""

    after: UUID | None = None


class RescannedPage(Payload):
    """How many builds were compared, how many of their vulnerabilities nobody knew of, how many builds failed.

    `next`: where to go on; None: that was all. `skipped`: why nothing was compared.
    """

    builds: int = 0
    detected: int = 0
    failed: int = 0
    next: UUID | None = None
    skipped: BoundedText | None = None


class Rescanned(Payload):
    """What came of all pages."""

    builds: int = 0
    detected: int = 0
    failed: int = 0
    skipped: BoundedText | None = None


RESCAN_PAGE = ActivityStub("rescan.page", RescanPage, RescannedPage, RESCAN)
