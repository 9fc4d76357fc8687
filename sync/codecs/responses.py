"""What is written for an on-prem server: the authorization file and the synchronization response (WP tables 2, 5-7)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sync.codecs import registration, synchronization
from sync.codecs.envelope import FORMAT
from sync.codecs.writing import Block, write_mapping

CERTIFICATES: Final = (
    "id_cert",
    "sub_ca_cert",
    "signing_cert",
    "local_sub_ca_cert",
    "local_sub_ca_cert_1_1",
    "tg_ssl_cert",
    "tg_issuer_cert",
    "satellite_cert",
    "ssms_ssl_cert",
)
"""In the order in which they are written; `local_sub_ca_cert` (3-tier) is there once it has been signed."""


@dataclass(frozen=True, slots=True)
class Term:
    quantity: int
    license_type: str
    start: datetime
    end: datetime | None
    subscription_id: str


@dataclass(frozen=True, slots=True)
class LicenseFigures:
    tag: str
    display_name: str
    purchased: int
    reserved: int
    in_use: int
    compliance: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """`id` is the id by which the on-prem server knows the Virtual Account."""

    id: str
    name: str
    licenses: Iterable[LicenseFigures]


@dataclass(frozen=True, slots=True)
class Marked:
    """An instance that is stored and not counted, with why."""

    id: str
    udi_pid: str
    udi_serial_number: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Response:
    """`certificates` are PEM by the names above; `last_sync` is our clock, to be quoted back unchanged."""

    uuid: str
    satellite_name: str
    last_sync: str
    certificates: Mapping[str, str]
    accounts: Iterable[AccountFigures]
    smart_account: str = ""
    account_domain: str = ""
    last_generated: str = ""
    conversions: Iterable[Mapping[str, Any]] = ()
    marked: Iterable[Marked] = ()
    usage_reports: Sequence[Mapping[str, Any]] = ()
    providers: Iterable[Mapping[str, Any]] | None = field(default=None)
    """None where the file is not a full synchronization."""


def write_authorization(response: Response) -> Iterator[str]:
    """The content of an authorization file, line by line."""
    head = {
        "format": FORMAT,
        "type": registration.RESPONSE,
        "status": "SUCCESS",
        "uuid": response.uuid,
        "smart_account": response.smart_account,
        "account_domain": response.account_domain,
        "satellite_name": response.satellite_name,
        "last-sync": response.last_sync,
    }
    yield from write_mapping({**head, **_certificates(response), "synchronization": _synchronization(response)})


def write_synchronization(response: Response) -> Iterator[str]:
    """The content of a synchronization response, line by line."""
    head = {
        "format": FORMAT,
        "type": synchronization.RESPONSE,
        "collector_instance_id": response.uuid,
        "satellite_name": response.satellite_name,
        "last_generated": response.last_generated,
        "last-sync": response.last_sync,
    }
    tail: dict[str, Any] = {
        "device_conversion_response": response.conversions,
        "marked": map(_marked, response.marked),
    }
    if response.usage_reports:
        # Only below this key may a file hold what the white paper's tables do not name.
        tail["extensions"] = {"rum_acknowledgements": response.usage_reports}
    body = {**head, **_certificates(response), "synchronization": _synchronization(response), **tail}
    yield from write_mapping(body)


def _certificates(response: Response) -> dict[str, Block]:
    return {name: Block(response.certificates[name]) for name in CERTIFICATES if name in response.certificates}


def _synchronization(response: Response) -> dict[str, Any]:
    accounts = {"virtual_accounts": map(_account, response.accounts)}
    return accounts if response.providers is None else {**accounts, "third_party_providers": response.providers}


def _account(account: AccountFigures) -> dict[str, Any]:
    """An id that is a number is written as one, as the servers write theirs."""
    id = int(account.id) if account.id.isascii() and account.id.isdecimal() and account.id[0] != "0" else account.id
    return {"id": id, "name": account.name, "licenses": map(_license, account.licenses)}


def _license(figures: LicenseFigures) -> dict[str, Any]:
    return {
        "tag": figures.tag,
        "display_name": figures.display_name,
        "purchased_quantity": figures.purchased,
        "reserved_quantity": figures.reserved,
        "in_use_quantity": figures.in_use,
        "compliance_status": figures.compliance,
        "terms": [_term(term) for term in figures.terms],
    }


def _term(term: Term) -> dict[str, Any]:
    return {
        "quantity": term.quantity,
        "license_type": term.license_type,
        "start_date": term.start,
        "end_date": term.end,
        "subscription_id": term.subscription_id or None,
    }


def _marked(marked: Marked) -> dict[str, str]:
    return {
        "id": marked.id,
        "udi_pid": marked.udi_pid,
        "udi_serial_number": marked.udi_serial_number,
        "reason": marked.reason,
        "message": marked.message,
    }
