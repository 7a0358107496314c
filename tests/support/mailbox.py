"""A mail server on loopback, and what it was given."""

import asyncio
import email
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP


@dataclass
class Mailbox:
    """Takes what comes, or answers `refusal` to the next so many."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session
        if self.refusals:
            return self.refusals.pop(0)
        letter = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        """What came for an address."""
        return [letter for letter in self.letters if letter["To"] == address]

    @property
    def url(self) -> str:
        return f"smtp+plain://127.0.0.1:{self.port}"


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """Runs on the loop of the test; whoever sends waits in a thread."""
    box = Mailbox()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        box.port = listener.getsockname()[1]
        server = await asyncio.get_running_loop().create_server(
            partial(SMTP, box, hostname="mail.test", loop=asyncio.get_running_loop()), sock=listener
        )
        async with server:
            yield box
