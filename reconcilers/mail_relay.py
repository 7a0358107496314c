"""Sends the mails of the outbox: at least once, with growing pauses, until they are of no use any more."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from domain.errors import DeliveryError, TerminalError
from runtime.encryption import Sealer
from runtime.ids import now
from runtime.mail import Letter, Server, send
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.models import Mail
from storage.repositories.mails import MailRepository
from storage.sealed import mail_context

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 600.0
AT_ONCE = 10
# Longer than any window in which mails are counted.
KEPT = timedelta(days=8)
SWEPT = 500


class MailRelay(Reconciler):
    """A pass is a batch; several workers share the work.

    Args:
        sessions: where the mails are.
        sealer: opens what they say.
        server: takes them.
        sender: whose address they come from.
        post: hands one over; raises as `runtime.mail.send`.
    """

    name = "mail_relay"
    interval_s = 2.0
    # Above all of the slow answers that a mail server may take for what is sent: a thread goes on with it when the pass
    # is cut off, but nobody notes that it was sent, so it would be sent again with every lease.
    limit_s = 600.0

    def __init__(
        self,
        sessions: Sessions,
        sealer: Sealer,
        server: Server,
        sender: str,
        *,
        post: Callable[[Server, Letter], Awaitable[None]] = send,
    ) -> None:
        super().__init__()
        self._sessions = sessions
        self._sealer = sealer
        self._server = server
        self._sender = sender
        self._post = post
        self._swept_at = float("-inf")

    async def reconcile(self) -> int:
        """Send what is due, a few at once; returns how many were sent."""
        async with transaction(self._sessions) as session:
            claimed = await MailRepository(session).claim(limit=AT_ONCE)
        sent = await asyncio.gather(*(self._try(mail) for mail in claimed))
        self.more = bool(claimed)
        if not claimed:
            await self._sweep()
        return sum(sent)

    async def _sweep(self) -> None:
        """Delete old mails, now and then."""
        if self._clock() - self._swept_at > SWEEP_EVERY_S:
            self._swept_at = self._clock()
            async with transaction(self._sessions) as session:
                await MailRepository(session).sweep(older_than=KEPT, limit=SWEPT)

    async def _try(self, mail: Mail) -> bool:
        """Whether it was sent. Addresses and contents of mails are never logged."""
        try:
            await self._send(mail)
        except (TerminalError, ValueError) as fault:
            refusal = str(fault)
            log.warning("mail.refused", mail_id=str(mail.id), kind=mail.kind, attempts=mail.attempts)
            await self._note(lambda mails: mails.failed(mail.id, refusal))
        except DeliveryError as fault:
            reason = fault.message
            log.warning("mail.later", mail_id=str(mail.id), kind=mail.kind, attempts=mail.attempts)
            await self._note(lambda mails: mails.later(mail, reason))
        except Exception as fault:
            reason = type(fault).__name__
            log.exception("mail.fault", mail_id=str(mail.id), kind=mail.kind, attempts=mail.attempts)
            await self._note(lambda mails: mails.later(mail, reason))
        else:
            log.info("mail.sent", mail_id=str(mail.id), kind=mail.kind, attempts=mail.attempts)
            await self._note(lambda mails: mails.sent(mail.id))
            return True
        return False

    async def _send(self, mail: Mail) -> None:
        if mail.expires_at <= now():
            raise TerminalError(f"not sent in time; the last fault was: {mail.last_error or 'none'}")
        await self._post(self._server, self._letter(mail))

    def _letter(self, mail: Mail) -> Letter:
        said = json.loads(self._sealer.open(mail.sealed_text or b"", mail_context(mail.id)))
        return Letter(self._sender, mail.recipient, said["subject"], said["text"])

    async def _note(self, write: Callable[[MailRepository], Awaitable[None]]) -> None:
        async with transaction(self._sessions) as session:
            await write(MailRepository(session))
