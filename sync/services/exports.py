"""What a server is answered: its certificates, and the licenses of its Virtual Accounts as the pools have them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from accounts.models import VirtualAccount
from licensing.models import Pool, PurchaseLine
from licensing.services.exchange.providers import list_server_keys
from licensing.states import Compliance, LicenseType, ThirdParty
from pki.crypto.certificates import encode_pem
from pki.models import KeyRef
from pki.services.signing import sign_digest_with_key
from sync.codecs.envelope import write_signed
from sync.codecs.responses import (
    AccountFigures,
    LicenseFigures,
    Marked,
    Response,
    Term,
    write_authorization,
    write_synchronization,
)
from sync.codecs.synchronization import Header
from sync.codecs.writing import show_moment
from sync.models import Exchange, LocalAccount, OnPremServer
from sync.services.certificates import current_certificates, find_signer
from sync.services.storage import Writer
from sync.states import MarkReason, Side

MOST_MARKED: Final = 100_000


def write_authorization_file(*, exchange: Exchange, server: OnPremServer, now: datetime) -> None:
    """Compose, sign and store it, in the transaction that registers the server."""
    _store(exchange, server, write_authorization(_response(exchange, server, now, full=True)))


def write_response(
    *,
    exchange: Exchange,
    server: OnPremServer,
    header: Header,
    marked: Iterable[tuple[str, str, str, MarkReason]],
    conversions: Iterable[Mapping[str, Any]],
    usage_reports: Sequence[Mapping[str, Any]] = (),
    now: datetime,
) -> None:
    """The same for a synchronization; `marked` are (id, PID, serial number, reason), `usage_reports` what became of
    each usage report."""
    rows = [Marked(id, pid, serial, reason.value, reason.explanation) for id, pid, serial, reason in marked]
    response = _response(
        exchange,
        server,
        now,
        full=header.is_full,
        last_generated=header.last_generated,
        conversions=conversions,
        usage_reports=usage_reports,
        marked=rows,
    )
    _store(exchange, server, write_synchronization(response))


def next_last_sync(server: OnPremServer, now: datetime) -> str:
    """Our clock, as the server is to quote it; later than any it was given before."""
    moment = show_moment(now)
    if moment > server.last_sync:
        return moment
    return show_moment(datetime.fromisoformat(server.last_sync) + timedelta(milliseconds=1))


def _response(
    exchange: Exchange,
    server: OnPremServer,
    now: datetime,
    *,
    full: bool,
    last_generated: str = "",
    conversions: Iterable[Mapping[str, Any]] = (),
    usage_reports: Sequence[Mapping[str, Any]] = (),
    marked: Iterable[Marked] = (),
) -> Response:
    return Response(
        uuid=str(server.uuid),
        satellite_name=server.name,
        last_sync=exchange.last_sync,
        certificates=current_certificates(server),
        accounts=_accounts(server, now),
        smart_account=server.smart_account.name,
        account_domain=server.smart_account.domain,
        last_generated=last_generated,
        conversions=conversions,
        usage_reports=usage_reports,
        marked=marked,
        providers=_providers(server) if full else None,
    )


def _providers(server: OnPremServer) -> Iterator[dict[str, Any]]:
    """Every third party, whether it is enabled, and the server's own keys of it; of one that does not answer none."""
    for name in ThirdParty:
        keys = list_server_keys(name, server=str(server.uuid), smart_account=server.smart_account.domain)
        rows = [{"name": key.name, "value": key.value} for key in keys or ()]
        yield {"provider": name.value, "enabled": keys is not None, "keys": rows}


def _store(exchange: Exchange, server: OnPremServer, content: Iterator[str]) -> None:
    writer, signer = Writer(exchange, Side.RESPONSE), find_signer(server)
    if signer.signing_key is None:
        raise RuntimeError("a signing certificate without a key of ours")
    write_signed(
        content,
        writer.write,
        sign=_signer(signer.signing_key.ref),
        signing_cert=encode_pem(bytes(signer.certificate.der)),
    )
    exchange.response_size = writer.finish()


def _signer(key: KeyRef) -> Callable[[bytes], bytes]:
    return lambda digest: sign_digest_with_key(key, digest)


def _accounts(server: OnPremServer, now: datetime) -> Iterator[AccountFigures]:
    rows = LocalAccount.objects.filter(server=server, is_active=True).linked().select_related("virtual_account")
    for row in rows.order_by("pk"):
        if row.virtual_account is not None:
            yield AccountFigures(row.local_id, row.virtual_account.name, _licenses(row.virtual_account, now))


def _licenses(virtual_account: VirtualAccount, now: datetime) -> Iterator[LicenseFigures]:
    pools = Pool.objects.filter(virtual_account=virtual_account).with_figures(now).with_anything()
    rows = list(pools.select_related("license").order_by("license__display_name", "pk"))
    terms: dict[int, list[Term]] = {}
    lines = PurchaseLine.objects.filter(virtual_account=virtual_account, license__in=[row.license_id for row in rows])
    for line in lines.not_ended_at(now).with_remaining().order_by("start", "pk"):
        if line.remaining:
            kind = LicenseType(line.license_type).name
            term = Term(line.remaining, kind, line.start, line.end, line.subscription_id)
            terms.setdefault(line.license_id, []).append(term)
    for row in rows:
        yield LicenseFigures(
            tag=row.license.tag,
            display_name=row.license.display_name,
            purchased=row.now_purchased,
            reserved=row.now_reserved,
            in_use=row.now_in_use,
            compliance=Compliance(row.now_status).label,
            terms=tuple(terms.get(row.license_id, ())),
        )
