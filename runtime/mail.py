"""Mail over SMTP, as the settings say. Python's smtplib waits, so it does that in a thread."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from domain.emails import normal_email
from domain.errors import DependencyError, TerminalError

LIMIT_S = 20.0
PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}
_PERMANENT = range(500, 600)
# Refused for now by many a server: too much at once, wrong credentials of ours. The mail itself is good.
_OURS = frozenset({530, 534, 535, 538, 552, 554})


@dataclass(frozen=True)
class Server:
    """An SMTP server. `smtps`: TLS from the start; `smtp`: STARTTLS, always; `smtp+plain`: neither."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)


def parse_server(url: str) -> Server:
    """Of `smtp://user:password@host:587`.

    Raises:
        ValueError: it is none; the message does not repeat it, as it holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        msg = f"must be {', '.join(f'{name}://' for name in PORTS)} and then [user:password@]host[:port]"
        raise ValueError(msg)
    port = parts.port or PORTS[parts.scheme]
    return Server(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


@dataclass(frozen=True)
class Letter:
    """One mail to one address: plain text."""

    sender: str
    recipient: str
    subject: str
    text: str

    def message(self) -> EmailMessage:
        """As it is sent; an address or a subject with line ends is refused by the library."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, self.recipient, self.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=normal_email(self.sender).partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's answering machine answers
        message.set_content(self.text)
        return message


async def send(server: Server, letter: Letter) -> None:
    """Hand a mail to the server.

    Raises:
        TerminalError: the server will never take it.
        DependencyError: not now.
    """
    await asyncio.to_thread(_send, server, letter)


def _send(server: Server, letter: Letter) -> None:
    try:
        with _connected(server) as connection:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(letter.message(), letter.sender, [letter.recipient])
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _fault(code, said) from error
    except smtplib.SMTPResponseException as error:
        raise _fault(error.smtp_code, error.smtp_error) from error
    except (smtplib.SMTPException, OSError) as error:
        raise DependencyError(f"the mail server does not answer as it should: {type(error).__name__}") from error


def _connected(server: Server) -> smtplib.SMTP:
    trusted = ssl.create_default_context()
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=LIMIT_S, context=trusted)
    connection = smtplib.SMTP(server.host, server.port, timeout=LIMIT_S)
    if server.scheme == "smtp":
        try:
            connection.starttls(context=trusted)
        except BaseException:
            connection.close()
            raise
    return connection


def _fault(code: int, said: bytes | str) -> TerminalError | DependencyError:
    text = (said.decode(errors="replace") if isinstance(said, bytes) else said)[:200]
    told = f"the mail server answered {code} {text}"
    return TerminalError(told) if code in _PERMANENT and code not in _OURS else DependencyError(told)
