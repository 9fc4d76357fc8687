"""Files of many servers, as a person drops them: each is taken to its server by the certificate that signed it.

Each file stands by itself: what becomes of one says nothing of the next, and one that is refused changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import SmartAccount
from cssm.common.actor import Actor
from cssm.common.errors import DomainError
from pki.crypto.certificates import read_serial
from sync.codecs.opening import read_type
from sync.codecs.registration import REQUEST as REGISTRATION_REQUEST
from sync.codecs.registration import RESPONSE as AUTHORIZATION_RESPONSE
from sync.codecs.synchronization import RESPONSE as SYNCHRONIZATION_RESPONSE
from sync.errors import FileCode, FileRefused, Problem, problems_of
from sync.models import Exchange, OnPremServer, ServerCertificate
from sync.services.imports import synchronize
from sync.services.receiving import Upload, receive_upload
from sync.services.verification import read_pem
from sync.states import CertificateKind, ReceivedKind


@dataclass(slots=True)
class Received:
    """What became of one file. `problems` has the rows of a refusal; `is_repeat`: the same bytes had come before."""

    name: str
    kind: ReceivedKind = ReceivedKind.UNKNOWN
    server: OnPremServer | None = None
    exchange: Exchange | None = None
    is_repeat: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)


def take_file(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    name: str,
    chunks: Iterable[bytes],
    dry_run: bool = False,
    in_background: bool = False,
    now: datetime,
) -> Received:
    """Take one file to its server, as `synchronize` does. A refusal is told in the answer, never raised.

    It waits its turn in the background where earlier files of its server are still worked on. Not inside a transaction.
    """
    received = Received(name)
    try:
        with receive_upload(chunks) as upload:
            server = _find_server(actor, smart_account, upload, received)
            if server is None:
                return received
            latest = Exchange.objects.filter(server=server).order_by("-pk").values_list("pk", flat=True).first() or 0
            received.exchange = synchronize(
                actor=actor,
                server=server,
                upload=upload,
                dry_run=dry_run,
                in_background=in_background or has_open_exchange(server),
                now=now,
            )
            received.is_repeat = received.exchange.pk <= latest
    except DomainError as refusal:
        received.problems = problems_of(refusal)
    return received


def has_open_exchange(server: OnPremServer) -> bool:
    return Exchange.objects.open().filter(server=server).exists()


def _find_server(actor: Actor, smart_account: SmartAccount, upload: Upload, received: Received) -> OnPremServer | None:
    """The server that was given the signer's certificate; None for a registration file. Raises `FileRefused`.

    Whose certificate it is in another Smart Account, nobody learns here.
    """
    server = _whose_certificate(actor, smart_account, read_pem(upload.envelope.signing_cert))
    if server is not None:
        received.server, received.kind = server, ReceivedKind.SYNCHRONIZATION
        return server
    kind = read_type(upload.file, upload.envelope.content_length)
    if kind == REGISTRATION_REQUEST:
        received.kind = ReceivedKind.REGISTRATION
        return None
    if kind in {AUTHORIZATION_RESPONSE, SYNCHRONIZATION_RESPONSE}:
        received.kind = ReceivedKind.RESPONSE
        raise _refused(FileCode.UNSUPPORTED_FORMAT, "This file was written here, for the server: install it there.")
    raise _refused(
        FileCode.UNKNOWN_SERVER,
        "No on-prem server of this Smart Account that you have access to was given the certificate that signed this"
        " file. Register the server first, or change to the Smart Account in which it is registered.",
    )


def _whose_certificate(actor: Actor, smart_account: SmartAccount, der: bytes) -> OnPremServer | None:
    serial = read_serial(der)
    if not serial:
        return None
    given = ServerCertificate.objects.filter(kind=CertificateKind.ID, certificate__serial=serial, certificate__der=der)
    servers = OnPremServer.objects.visible_to(actor).filter(smart_account=smart_account, certificates__in=given)
    return servers.select_related("smart_account", "virtual_account", "origin").first()


def _refused(code: FileCode, message: str) -> FileRefused:
    return FileRefused(Problem(code, message, 0, ":signing_cert:" if code is FileCode.UNKNOWN_SERVER else ":type:"))
