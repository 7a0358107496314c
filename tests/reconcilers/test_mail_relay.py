"""On a real PostgreSQL: what the mail server takes is written down, however slow it is."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from domain.errors import DependencyError
from reconcilers.mail_relay import MailRelay
from runtime.encryption import KEY_BYTES, Sealer
from runtime.ids import now
from runtime.mail import Letter, Server
from runtime.reconciler import Outcome, Reconciler
from storage.engine import Sessions, transaction
from storage.models import Mail
from storage.repositories.mails import LEASE
from storage.sealed import mail_context

SEALER = Sealer([b"k" * KEY_BYTES])
SERVER = Server("smtp", "mail.example.com", 25, "", "")


async def written(sessions: Sessions) -> Mail:
    """A mail that is due."""
    mail_id = uuid4()
    text = json.dumps({"subject": "Hello", "text": "You are invited"})
    mail = Mail(
        id=mail_id,
        recipient="ada@example.com",
        kind="invitation",
        resource_id=uuid4(),
        sealed_text=SEALER.seal(text.encode(), mail_context(mail_id)),
        status="pending",
        expires_at=now() + timedelta(days=1),
    )
    async with transaction(sessions) as session:
        session.add(mail)
    return mail


async def test_what_a_slow_server_took_is_not_sent_again(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that ends amid it would leave the mail due: it would come every three minutes until it expires."""
    monkeypatch.setattr(Reconciler, "limit_s", 0.2)  # of whoever does not say otherwise

    async def take(server: Server, letter: Letter) -> None:
        del server, letter
        await asyncio.sleep(1)

    mail = await written(sessions)
    outcome = await MailRelay(sessions, SEALER, SERVER, "engine@example.com", post=take).run_once()
    async with transaction(sessions) as session:
        status = await session.scalar(select(Mail.status).where(Mail.id == mail.id))
    assert (outcome, status) == (Outcome.MENDED, "sent")


async def test_a_mail_that_no_server_took_is_nothing_that_was_mended(sessions: Sessions) -> None:
    async def refuse(server: Server, letter: Letter) -> None:
        raise DependencyError("the mail server is away")

    await written(sessions)
    outcome = await MailRelay(sessions, SEALER, SERVER, "engine@example.com", post=refuse).run_once()
    assert outcome is Outcome.UNCHANGED


def test_no_pass_is_cut_off_while_its_mails_are_leased() -> None:
    assert LEASE.total_seconds() < MailRelay.limit_s
