"""Mails of the API: stored in the transaction of their cause, and limited in number for each address."""

import json
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.http.errors import TooOftenError
from runtime.encryption import Sealer
from runtime.ids import new_id
from runtime.settings import Settings
from storage.models import Mail
from storage.repositories.mails import PENDING, MailRepository
from storage.repositories.users import UserRepository
from storage.sealed import mail_context
from storage.tenancy import PLATFORM

WINDOW = timedelta(days=1)


class Mails:
    """Writes mails of one transaction, which holds the organization's row."""

    def __init__(self, session: AsyncSession, settings: Settings, sealer: Sealer) -> None:
        self._session = session
        self._settings = settings
        self._sealer = sealer

    async def write(
        self,
        kind: str,
        resource_id: UUID,
        *,
        organization_id: UUID,
        recipient: str,
        subject: str,
        text: str,
        at: datetime,
        until: datetime,
    ) -> None:
        """Store a mail to be sent.

        Raises:
            TooOftenError: the organization, or this address, had as many mails as one day may bring.
        """
        await UserRepository(self._session, PLATFORM).hold_email(recipient)  # its mails are counted one after another
        await self._check(at, organization_id=organization_id)
        await self._check(at, recipient=recipient)
        mail = Mail(
            id=new_id(),
            organization_id=organization_id,
            recipient=recipient,
            kind=kind,
            resource_id=resource_id,
            status=PENDING,
            expires_at=until,
        )
        said = json.dumps({"subject": subject, "text": text}).encode()
        mail.sealed_text = self._sealer.seal(said, mail_context(mail.id))
        await MailRepository(self._session).add(mail)

    async def _check(self, at: datetime, *, organization_id: UUID | None = None, recipient: str | None = None) -> None:
        most = self._settings.mails_per_address if recipient else self._settings.mails_per_organization
        mails = MailRepository(self._session)
        count, first = await mails.count(organization_id=organization_id, recipient=recipient, since=at - WINDOW)
        if count < most:
            return
        wait_s = max(1, int(((first or at) + WINDOW - at).total_seconds()))
        whose = "this address" if recipient else "your organization"
        raise TooOftenError(wait_s, f"{whose} had {most} mails within a day, which is the most; invite again later")
