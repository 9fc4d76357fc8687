"""From a dry run to the real thing: the file is there, and need not be carried again."""

from datetime import datetime

from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from cssm.common.permissions import Permission
from sync.codecs.envelope import Plain, read_envelope
from sync.models import Exchange
from sync.services.exchanges import open_file
from sync.services.imports import synchronize
from sync.services.inbox import has_open_exchange
from sync.services.receiving import Upload
from sync.services.servers import require
from sync.states import ExchangeState, Side


def apply_compared(*, actor: Actor, exchange: Exchange, now: datetime) -> Exchange:
    """Apply the file of a dry run: a new exchange, verified anew from its first byte. Not inside a transaction.

    Raises `FileRefused`, `FileConflict` as any upload, `Conflict` (NOT_COMPARED), `NotFound`, `Forbidden`.
    """
    require(actor, exchange.server, Permission.MANAGE_ASSETS)
    if exchange.state != ExchangeState.COMPARED:
        raise Conflict("Only a file that was compared can be applied from here.", code="NOT_COMPARED")
    file = open_file(exchange, Side.REQUEST)
    envelope = read_envelope(file, exchange.size)
    upload = Upload(file, Plain(exchange.size, exchange.digest), envelope)
    waits = has_open_exchange(exchange.server)
    return synchronize(actor=actor, server=exchange.server, upload=upload, in_background=waits, now=now)
