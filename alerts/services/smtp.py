"""Handing one message to the mail server, and knowing what came of it.

Up to the final dot of DATA a broken connection means that nothing was taken (RFC 5321 section 4.1.1.4); after it, and
without an answer, nobody knows. `smtplib.sendmail` does not tell the two apart, so the conversation is held here.
"""

import re
import smtplib
import socket
from contextlib import suppress
from email.utils import parseaddr
from types import TracebackType
from typing import Final, Self

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.message import sanitize_address

from alerts.services.deliveries import Outcome
from alerts.states import OutcomeKind

_BROKEN: Final = (smtplib.SMTPException, OSError)


class MailSender:
    """One connection for many messages, opened at the first. Back ends other than SMTP are used as they are."""

    def __init__(self) -> None:
        self._backend = get_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(*_BROKEN):
            self._backend.close()

    def send(self, message: EmailMessage) -> Outcome:
        """Send to the one recipient of `message`. Never raises for what a network or a mail server does."""
        if isinstance(self._backend, EmailBackend):
            return _send_by_smtp(self._backend, message)
        try:
            self._backend.send_messages([message])
        except Exception as error:  # a back end of another kind may fail in any way, also after handing over
            return Outcome(OutcomeKind.UNKNOWN, f"{type(error).__name__}: {error}")
        return Outcome(OutcomeKind.SENT)


def _send_by_smtp(backend: EmailBackend, message: EmailMessage) -> Outcome:
    try:
        backend.open()
    except _BROKEN as error:
        _drop(backend)
        return Outcome(OutcomeKind.UNREACHABLE, f"The mail server cannot be used: {error}")
    assert backend.connection is not None  # noqa: S101  `open` raises or connects
    if backend.connection.sock is not None:
        # The final dot is sent by itself; it must not wait for the peer to acknowledge what went before it.
        backend.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sender, recipient = _plain(message.from_email), _plain(message.to[0])
        outcome = _converse(backend.connection, sender, recipient, _wire_form(message.message().as_bytes()))
    except ValueError as error:  # also UnicodeError: nothing that SMTP could carry
        outcome = Outcome(OutcomeKind.REFUSED, f"The message cannot be sent: {error}")
    if outcome.kind is not OutcomeKind.SENT:
        _drop(backend)
    return outcome


def _drop(backend: EmailBackend) -> None:
    """The next message gets a fresh connection, whatever state this one is in."""
    with suppress(*_BROKEN):
        backend.close()
    backend.connection = None


def _converse(smtp: smtplib.SMTP, sender: str, recipient: str, content: bytes) -> Outcome:
    try:
        smtp.ehlo_or_helo_if_needed()
        code, answer = smtp.mail(sender)
        if code != 250:
            return _judge(code, answer)
        code, answer = smtp.rcpt(recipient)
        if code not in (250, 251):
            return _judge(code, answer)
        code, answer = smtp.docmd("DATA")
        if code != 354:
            return _judge(code, answer)
        smtp.send(content)
    except _BROKEN as error:
        return Outcome(OutcomeKind.DEFERRED, f"The connection broke before the message was handed over: {error}")
    try:
        smtp.send(b".\r\n")
        code, answer = smtp.getreply()
    except _BROKEN as error:
        return Outcome(OutcomeKind.UNKNOWN, f"The connection broke before the mail server answered: {error}")
    if code == 250:
        return Outcome(OutcomeKind.SENT)
    return _judge(code, answer) if 400 <= code < 600 else Outcome(OutcomeKind.UNKNOWN, _text(code, answer))


def _judge(code: int, answer: bytes) -> Outcome:
    """5xx is for good, anything else for now (RFC 5321 section 4.2.1)."""
    return Outcome(OutcomeKind.REFUSED if 500 <= code < 600 else OutcomeKind.DEFERRED, _text(code, answer))


def _text(code: int, answer: bytes) -> str:
    return f"{code} {answer.decode('utf-8', 'replace')}"


def _plain(address: str) -> str:
    """The bare address of an envelope, its domain in ASCII form."""
    return parseaddr(sanitize_address(address, "utf-8"))[1]


def _wire_form(content: bytes) -> bytes:
    """Lines end with CRLF, a leading dot is doubled (RFC 5321 section 4.5.2); ready for the final dot."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    stuffed = re.sub(rb"(?m)^\.", b"..", lines)
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"
