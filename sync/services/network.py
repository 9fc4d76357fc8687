"""Network synchronization: the server itself calls, and its LCS key proves it (interfaces: On-prem files)."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction

from pki.crypto.messages import verify_signature
from sync.models import OnPremServer
from sync.states import ServerState

MOST_OFF: Final = timedelta(minutes=5)


class NotProven(Exception):
    """The call is not proven to be the server's. Whoever calls learns nothing more."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the headers' signature covers; `body_digest` is the SHA-256 of the body as it came, in hex."""

    method: str
    path: str
    timestamp: str
    body_digest: str
    signature: str


def prove_caller(*, uuid: UUID, call: Call, now: datetime) -> OnPremServer:
    """The server, once its key has signed this very call, which counts once. Raises `NotProven`."""
    server = OnPremServer.objects.select_related("smart_account", "virtual_account", "origin").filter(uuid=uuid).first()
    if server is None or server.state != ServerState.REGISTERED:
        raise NotProven
    if not (call.timestamp.isascii() and call.timestamp.isdecimal() and len(call.timestamp) <= 15):
        raise NotProven
    milliseconds = int(call.timestamp)
    if abs(milliseconds - now.timestamp() * 1000) > MOST_OFF.total_seconds() * 1000:
        raise NotProven
    message = f"{call.method}\n{call.path}\n{call.timestamp}\n{call.body_digest}".encode()
    try:
        signature = base64.b64decode(call.signature, validate=True)
    except (binascii.Error, ValueError):
        raise NotProven from None
    if not verify_signature(bytes(server.lcs_key), signature, message):
        raise NotProven
    with transaction.atomic():
        later = OnPremServer.objects.filter(pk=server.pk, last_header_at__lt=milliseconds)
        if not later.update(last_header_at=milliseconds):
            raise NotProven
    return server
