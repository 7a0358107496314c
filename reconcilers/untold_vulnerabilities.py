"""Events of vulnerabilities that one large scan found: those that were too many to be told with it."""

from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.scan_records import ScanRecordRepository

# Of one organization in a pass: an endpoint that takes its time still gets what else happens.
PORTION = 100


class UntoldVulnerabilities(Reconciler):
    """Several workers may do this at once: they skip what the others hold."""

    name = "untold_vulnerabilities"
    interval_s = 30.0
    limit_s = 60.0

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions

    async def reconcile(self) -> int:
        """How many were told."""
        async with transaction(self._sessions) as session:
            return await ScanRecordRepository(session).tell_more(PORTION)
