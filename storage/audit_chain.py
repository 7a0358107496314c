"""`python -m api.cli audit-chain verify [--organization ID]`: verify that the audit log was not changed.

Uses DELIVERY_DATABASE_URL, or the embedded stack's database if that is not set. Prints each chain's length and last
hash: recorded elsewhere, they also reveal a truncated or rewritten chain.
"""

import argparse
import asyncio
import hashlib
import sys
from dataclasses import dataclass
from uuid import UUID

from domain.errors import DependencyError
from runtime.settings import get_settings
from runtime.stack.database import database_url, without_answer
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models.audit import PLATFORM_CHAIN
from storage.repositories.audit_chain import AuditChainRepository, Link

BATCH = 1000
FIRST = bytes(32)


@dataclass(frozen=True)
class Verdict:
    """The state of a chain: its last valid link, and the first fault; None: it is intact."""

    chain: UUID
    sequence: int
    hash: bytes
    fault: str | None = None

    def words(self) -> str:
        """One line for display."""
        name = "platform" if self.chain == PLATFORM_CHAIN else f"organization {self.chain}"
        state = "whole" if self.fault is None else f"BROKEN behind entry {self.sequence}: {self.fault}"
        return f"{name}: {self.sequence} entries, last hash {self.hash.hex()}, {state}"


async def verify(sessions: Sessions, chain: UUID) -> Verdict:
    """Verify a chain from its first link to its present head, in batches. Later entries are left to the next run."""
    async with transaction(sessions) as session:
        rows = AuditChainRepository(session)
        head = await rows.head(chain)
        unlinked = await rows.unlinked(chain)
    verdict = await _walk(sessions, chain, head[0] if head else 0)
    if verdict.fault is not None:
        return verdict
    if head is not None and head != (verdict.sequence, verdict.hash):
        return _broken(verdict, f"the chain's head says entry {head[0]} with hash {head[1].hex()}")
    if unlinked is not None:
        return _broken(verdict, f"audit entry {unlinked} is in no chain")
    return verdict


async def _walk(sessions: Sessions, chain: UUID, until: int) -> Verdict:
    verdict = Verdict(chain, 0, FIRST)
    while verdict.sequence < until:
        async with transaction(sessions) as session:
            links = await AuditChainRepository(session).links(chain, after=verdict.sequence, until=until, limit=BATCH)
        if not links:
            return _broken(verdict, f"entry {verdict.sequence + 1} is missing")
        for link in links:
            verdict = _follow(verdict, link)
            if verdict.fault is not None:
                return verdict
    return verdict


def _follow(before: Verdict, link: Link) -> Verdict:
    """The verdict after one more link."""
    number = before.sequence + 1
    if link.sequence != number:
        return _broken(before, f"entry {number} is missing")
    if link.text is None:
        return _broken(before, f"entry {number} ({link.entry_id}) is missing from the log")
    if hashlib.sha256(before.hash + link.text.encode()).digest() != link.hash:
        return _broken(before, f"entry {number} ({link.entry_id}) is not what was written")
    return Verdict(before.chain, number, link.hash)


def _broken(at: Verdict, fault: str) -> Verdict:
    return Verdict(at.chain, at.sequence, at.hash, fault)


async def _verify_all(url: str, organization: UUID | None) -> bool:
    engine = create_engine(url, application_name="audit-chain")
    try:
        sessions = create_sessions(engine)
        if organization is None:
            async with transaction(sessions) as session:
                chains = await AuditChainRepository(session).chains()
        else:
            chains = [organization]
        whole = True
        for chain in chains:
            verdict = await verify(sessions, chain)
            whole = whole and verdict.fault is None
            sys.stdout.write(f"{verdict.words()}\n")
        return whole
    finally:
        await engine.dispose()


def main() -> int:
    """0: all chains are intact; 1: a chain is broken; 2: they could not be read."""
    parser = argparse.ArgumentParser(prog="python -m api.cli audit-chain", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("verify", help="walk the chains and name the first broken link of each")
    command.add_argument("--organization", type=UUID, help="only this organization's chain")
    organization: UUID | None = parser.parse_args().organization
    settings = get_settings()
    try:
        return 0 if asyncio.run(_verify_all(database_url(settings), organization)) else 1
    except DependencyError as error:
        sys.stderr.write(f"{without_answer(settings, error.message)}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
