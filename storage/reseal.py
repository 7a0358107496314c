"""`python -m api.cli reseal`: re-encrypts every stored secret with the newest key of `DELIVERY_ENCRYPTION_KEYS`.

Safe while everything runs, and safe to interrupt and repeat: it works in small transactions and skips values that
already use the newest key. Exits with 1 if a value could not be decrypted. `docs/operating.md` describes the steps of a
key change.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.errors import DeliveryError, DependencyError
from runtime.encryption import Sealer, load_sealer
from runtime.ids import new_id
from runtime.settings import get_settings
from runtime.stack.database import database_url
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import AuditEntry
from storage.repositories.audit import AuditRepository
from storage.repositories.sealed import SealedRepository
from storage.sealed import SEALED, SealedColumn
from storage.tenancy import PLATFORM

BATCH = 100


@dataclass
class Report:
    """The result: re-encrypted values by place, values that no key decrypts, and the number of values per key."""

    resealed: Counter[str] = field(default_factory=Counter)
    stuck: list[str] = field(default_factory=list)
    in_use: Counter[str] = field(default_factory=Counter)


async def reseal(sessions: Sessions, sealer: Sealer, places: Sequence[SealedColumn] = SEALED) -> Report:
    """Re-encrypt every value that does not use the newest key, then count the values per key."""
    report = Report()
    for place in places:
        last = None
        while True:
            async with transaction(sessions) as session:
                rows = await SealedRepository(session, place).batch(last, BATCH)
                for row_id, sealed in rows:
                    await _reseal_one(SealedRepository(session, place), sealer, place, (row_id, sealed), report)
            if not rows:
                break
            last = rows[-1][0]
    for place in places:
        async with transaction(sessions) as session:
            report.in_use.update(await SealedRepository(session, place).keys())
    if report.resealed:
        await _note(sessions, sealer, report)
    return report


async def _note(sessions: Sessions, sealer: Sealer, report: Report) -> None:
    """Record the run in the platform's audit log."""
    details = {"resealed": dict(report.resealed), "with_key": sealer.key_ids[0], "stuck": len(report.stuck)}
    entry = AuditEntry(id=new_id(), actor="system", action="secrets.resealed", resource_type="secret", details=details)
    entry.changes = {}
    async with transaction(sessions) as session:
        await AuditRepository(session, PLATFORM).write(entry)


async def _reseal_one(
    values: SealedRepository, sealer: Sealer, place: SealedColumn, row: tuple[object, bytes], report: Report
) -> None:
    row_id, sealed = row
    if sealer.is_current(sealed):
        return
    context = place.context(row_id)
    try:
        plain = sealer.open(sealed, context)
    except DependencyError as error:
        report.stuck.append(f"{place.name} of {row_id}: {error.message}")
        return
    await values.put(row_id, sealer.seal(plain, context))
    report.resealed[place.name] += 1


def words(report: Report, sealer: Sealer) -> list[str]:
    """The report as text; keys are named by their ids, never shown."""
    done = [f"{place}: {count} sealed anew" for place, count in sorted(report.resealed.items())]
    keys = [
        f"key {key_id}: {report.in_use[key_id]} values" if report.in_use[key_id] else f"key {key_id}: not in use"
        for key_id in sealer.key_ids
    ]
    unused = [key_id for key_id in sealer.key_ids[1:] if not report.in_use[key_id]]
    if unused:
        keys.append(f"no longer in use, may be taken out of DELIVERY_ENCRYPTION_KEYS: {', '.join(unused)}")
    unknown = sorted(set(report.in_use) - set(sealer.key_ids))
    if unknown:
        keys.append(f"in use, but not among DELIVERY_ENCRYPTION_KEYS: {', '.join(unknown)}; put them back")
    return [*(done or ["nothing to seal anew"]), *keys, *report.stuck]


async def _run() -> int:
    settings = get_settings()
    sealer = load_sealer(settings)
    engine = create_engine(database_url(settings), application_name="reseal")
    try:
        report = await reseal(create_sessions(engine), sealer)
    finally:
        await engine.dispose()
    print("\n".join(words(report, sealer)))  # noqa: T201 - a command's answer
    return 1 if report.stuck else 0


def main() -> int:
    """Entry point."""
    try:
        return asyncio.run(_run())
    except DeliveryError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a command's answer
        return 1


if __name__ == "__main__":
    sys.exit(main())
