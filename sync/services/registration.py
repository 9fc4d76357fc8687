"""Registering an on-prem server: a request file in, an authorization file out (white paper, tables 1 and 2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict
from cssm.common.permissions import Permission
from licensing.services.devices.staging import open_origin
from pki.crypto.messages import verify_digest
from pki.states import RevocationReason
from sync.codecs.envelope import digest_content, read_range
from sync.codecs.registration import MAX_SIZE, RegistrationRequest, find_lcs_csr, read_registration
from sync.errors import FileCode, FileConflict, FileRefused, Problem
from sync.models import Exchange, LocalAccount, OnPremServer
from sync.services import certificates, exports
from sync.services.certificates import Batch, Order
from sync.services.receiving import Upload
from sync.services.servers import clean_name, lock_server, record, require, tell
from sync.services.storage import store_file
from sync.states import CertificateKind, ExchangeKind, ExchangeState, NoticeKind, ServerState, Side

CONFIRMATION_REQUIRED: Final = "CONFIRMATION_REQUIRED"


@dataclass(frozen=True, slots=True)
class Application:
    """A registration request that has proven its key, with the certificates it asks for."""

    uuid: UUID
    request: RegistrationRequest
    lcs_key: bytes
    lcs_key_digest: str
    orders: tuple[Order, ...]
    upload: Upload


def register_server(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    upload: Upload,
    name: str = "",
    confirmed: bool = False,
    now: datetime,
) -> Exchange:
    """Register the server of the file to the Virtual Account; the exchange holds its authorization file.

    The same bytes again give the same file. Another LCS key of a known server needs `confirmed`: its old certificates
    are revoked then, and the wait for the 3-tier certificate begins anew. Not inside a transaction.
    Raises `FileRefused`, `FileConflict` (SERVER_REGISTERED_ELSEWHERE), `Conflict` (CONFIRMATION_REQUIRED), `Invalid`,
    `NotFound`, `Forbidden`.
    """
    actor.require(
        Permission.MANAGE_ASSETS,
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
    )
    application = read_application(upload, virtual_account.smart_account_id)
    known = OnPremServer.objects.filter(uuid=application.uuid).first()
    certificates.refuse_shared_keys(application.orders, server=known)
    name = clean_name(name or application.request.satellite_name)
    if known is not None:
        check_known(actor, known, virtual_account, application, confirmed)
        if (answered := find_answered(known, application)) is not None:
            return answered
    batch = certificates.issue_batch(application.orders, now=now)
    with transaction.atomic():
        if known is None:
            server = _create(actor, virtual_account, application, name, now)
        else:
            server = _renew(actor, known, virtual_account, application, confirmed, name, now)
        return _answer(actor, server, application, batch, now)


def read_application(upload: Upload, smart_account_id: int) -> Application:
    """Verify and parse a registration file: its own LCS key has signed it. Raises `FileRefused`."""
    if upload.plain.size > MAX_SIZE:
        raise _refused(FileCode.TOO_LARGE, f"A registration file has at most {MAX_SIZE} bytes.")
    length = upload.envelope.content_length
    lcs = certificates.read_csr(find_lcs_csr(upload.file, length), ":lcs_csr:", authority=True)
    if upload.envelope.signing_cert:
        raise _refused(FileCode.CERTIFICATE_INVALID, ":signing_cert: of a registration file is empty.")
    if not verify_digest(lcs.spki_der, upload.envelope.signature, digest_content(upload.file, length)):
        raise _refused(
            FileCode.SIGNATURE_INVALID,
            "The signature is not by the key of :lcs_csr: over these bytes. Was the file changed on its way?",
        )
    request = read_registration(upload.file, length)
    uuid = _read_uuid(request.instance_id)
    orders = (
        Order(CertificateKind.ID, str(uuid), lcs.spki_der),
        Order(CertificateKind.SIGNING, str(uuid)),
        Order(CertificateKind.LOCAL_SUB_CA, certificates.authority_name(str(uuid)), lcs.spki_der),
        *(
            certificates.order_tls(
                certificates.read_csr(pem, key, hosts=True), kind, smart_account_id=smart_account_id, key=key
            )
            for pem, key, kind in (
                (request.tg_csr, ":tg_csr:", CertificateKind.TG_TLS),
                (request.ssms_csr, ":ssms_csr:", CertificateKind.BROWSER_TLS),
            )
        ),
    )
    return Application(uuid, request, lcs.spki_der, certificates.digest_key(lcs.spki_der), orders, upload)


def check_known(
    actor: Actor, server: OnPremServer, target: VirtualAccount, application: Application, confirmed: bool
) -> None:
    """Whether a server that is known may be registered once more as asked. Raises as `register_server`."""
    if server.smart_account_id != target.smart_account_id:
        raise FileConflict(
            Problem(
                FileCode.SERVER_REGISTERED_ELSEWHERE,
                "This on-prem server is registered in another Smart Account. Remove it there, or ask the operator.",
                0,
                ":instance_id:",
            )
        )
    require(actor, server, Permission.MANAGE_ASSETS)
    if server.state == ServerState.REGISTERED and server.virtual_account_id != target.pk:
        raise FileRefused(
            Problem(
                FileCode.ACCOUNT_MISMATCH,
                f'This server is registered to the Virtual Account "{server.virtual_account.name}". Choose that one.',
                0,
                ":instance_id:",
            )
        )
    replaced = server.state == ServerState.REGISTERED and server.lcs_key_digest != application.lcs_key_digest
    if replaced and not confirmed:
        raise Conflict(
            f'"{server.name}" is registered with another key. Registering it anew revokes its certificates, and its'
            " 3-tier certificate takes its time again. Confirm that this is wanted.",
            code=CONFIRMATION_REQUIRED,
            where=":lcs_csr:",
        )


def find_answered(server: OnPremServer, application: Application) -> Exchange | None:
    """The exchange of the very same bytes in the server's present registration."""
    if server.state != ServerState.REGISTERED or server.lcs_key_digest != application.lcs_key_digest:
        return None
    same = Exchange.objects.applied().filter(server=server, digest=application.upload.plain.digest)
    return same.filter(created_at__gte=server.registered_at, files_deleted_at__isnull=True).first()


def _create(
    actor: Actor, virtual_account: VirtualAccount, application: Application, name: str, now: datetime
) -> OnPremServer:
    uuid, lcs_key = str(application.uuid), application.lcs_key
    server, created = OnPremServer.objects.get_or_create(
        uuid=application.uuid,
        defaults={
            "smart_account_id": virtual_account.smart_account_id,
            "virtual_account": virtual_account,
            "name": name,
            "state": ServerState.REGISTERED,
            "origin": open_origin(name=uuid, smart_account_id=virtual_account.smart_account_id),
            "lcs_key": lcs_key,
            "lcs_key_digest": application.lcs_key_digest,
            "registered_at": now,
            "three_tier": certificates.queue_three_tier(uuid=uuid, lcs_key=lcs_key, now=now),
            **_registrar(actor),
        },
    )
    if not created:
        raise Conflict("This server is being registered at this very moment. Try again.", code="REGISTERING")
    record(actor, server, "onprem.registered", {"uuid": uuid}, now)
    return server


def _renew(
    actor: Actor,
    known: OnPremServer,
    virtual_account: VirtualAccount,
    application: Application,
    confirmed: bool,
    name: str,
    now: datetime,
) -> OnPremServer:
    """The known server once more: after a restore with its key, or with another key, or after its removal."""
    server = lock_server(known.pk)
    check_known(actor, server, virtual_account, application, confirmed)
    anew = server.state != ServerState.REGISTERED or server.lcs_key_digest != application.lcs_key_digest
    if anew:
        certificates.revoke_all(server=server, reason=RevocationReason.SUPERSEDED, now=now)
        LocalAccount.objects.filter(server=server).update(is_announced=False)
        server.registration += 1
        server.state, server.removed_at = ServerState.REGISTERED, None
        server.virtual_account = virtual_account
        server.lcs_key, server.lcs_key_digest = application.lcs_key, application.lcs_key_digest
        server.registered_at, server.last_generated_at, server.last_sync_at = now, None, None
        server.last_header_at, server.three_tier_told = 0, False
        server.overdue_told_at = server.deadline_told_at = None
        server.three_tier = certificates.queue_three_tier(uuid=str(server.uuid), lcs_key=application.lcs_key, now=now)
        for field, value in _registrar(actor).items():
            setattr(server, field, value)
        tell(server, NoticeKind.SYNCHRONIZED, now)
    server.name = name
    server.save()
    record(
        actor, server, "onprem.registered_anew" if anew else "onprem.registered_again", {"uuid": str(server.uuid)}, now
    )
    return server


def _answer(actor: Actor, server: OnPremServer, application: Application, batch: Batch, now: datetime) -> Exchange:
    certificates.store_batch(batch, server=server, now=now)
    _announce(server, now)
    exchange = Exchange.objects.create(
        smart_account_id=server.smart_account_id,
        virtual_account_id=server.virtual_account_id,
        server=server,
        kind=ExchangeKind.REGISTRATION,
        state=ExchangeState.APPLIED,
        digest=application.upload.plain.digest,
        size=application.upload.plain.size,
        content_length=application.upload.envelope.content_length,
        last_sync=exports.next_last_sync(server, now),
        created_at=now,
        created_by_kind=actor.kind.value,
        created_by_id=actor.id,
        created_by_label="" if actor.kind is ActorKind.USER else actor.label,
        started_at=now,
        finished_at=now,
    )
    store_file(exchange, Side.REQUEST, read_range(application.upload.file, application.upload.plain.size))
    exports.write_authorization_file(exchange=exchange, server=server, now=now)
    exchange.save(update_fields=["response_size"])
    server.last_sync = exchange.last_sync
    server.save(update_fields=["last_sync"])
    tell(server, NoticeKind.FILE_READY, now)
    return exchange


def _announce(server: OnPremServer, now: datetime) -> None:
    """The Virtual Account it is registered to, under an id that the server may take over or replace by its own."""
    linked = LocalAccount.objects.filter(server=server, virtual_account=server.virtual_account_id)
    if linked.update(is_active=True):
        return
    number = str(server.virtual_account_id)
    taken = LocalAccount.objects.filter(server=server, local_id=number).exists()
    LocalAccount.objects.create(
        server=server,
        local_id=str(server.virtual_account.uuid) if taken else number,
        smart_account_id=server.smart_account_id,
        virtual_account_id=server.virtual_account_id,
        name=server.virtual_account.name,
        named_at=now,
        is_announced=True,
    )


def _registrar(actor: Actor) -> dict[str, object]:
    is_user = actor.kind is ActorKind.USER
    return {
        "registered_by_id": int(actor.id) if is_user else None,
        "registered_by_client": actor.id if actor.kind is ActorKind.API_CLIENT else "",
    }


def _read_uuid(text: str) -> UUID:
    try:
        uuid = UUID(text)
    except ValueError:
        raise _refused(FileCode.WRONG_TYPE, f"{text[:64]!r} is no UUID.", key=":instance_id:") from None
    if text.lower() not in {str(uuid), uuid.hex}:
        raise _refused(FileCode.WRONG_TYPE, f"{text[:64]!r} is no UUID in its usual form.", key=":instance_id:")
    return uuid


def _refused(code: FileCode, message: str, *, key: str = "") -> FileRefused:
    return FileRefused(Problem(code, message, 0, key))
