"""Whether a usage report may be kept, and for whom: its form, its product, its signature."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from licensing.codecs.device_message import normalise_serial
from licensing.codecs.refusals import Refusal, RefusalCode, malformed
from licensing.codecs.rum.payload import UsagePayload, parse_payload
from licensing.codecs.rum.report import BUILTIN, VERIFIABLE, Submitted
from licensing.models import InstanceKey
from pki.crypto.messages import verify_signature
from pki.services.issuing import is_blocked

AHEAD: Final = timedelta(hours=24)
"""How far a report may reach into the future: as far as a message's clock may be off."""


@dataclass(frozen=True, slots=True)
class Source:
    """For whom a report counts. `instance_id` is None where the product never registered here.

    `vouched`: who hands the report in answers for products whose keys others certified.
    """

    smart_account_id: int
    virtual_account_id: int
    instance_id: int | None
    vouched: bool = False


FindSource = Callable[[UsagePayload], Source]
"""Raises `Refusal` for a report of a product that it is not for the sender to report of."""


@dataclass(frozen=True, slots=True)
class Judged:
    submitted: Submitted
    payload: UsagePayload
    source: Source
    is_verified: bool

    @property
    def key(self) -> tuple[int, str, int]:
        """What makes it one report, whatever its text."""
        return self.source.smart_account_id, self.payload.udi, self.payload.report_id

    @property
    def meter_key(self) -> tuple[int, str, str]:
        return self.source.smart_account_id, self.payload.udi, self.payload.entitlement_tag


def read_report(submitted: Submitted, *, now: datetime) -> UsagePayload:
    """Raises `Refusal`: MALFORMED, UNSUPPORTED_VERSION."""
    payload = parse_payload(submitted.payload, where=submitted.where)
    if datetime.fromtimestamp(payload.end, UTC) > now + AHEAD:
        raise malformed(
            "the report reaches more than 24 hours into the future; set the clock of the product",
            where=f"{submitted.where}.measurements",
        )
    return payload


def judge_report(*, submitted: Submitted, payload: UsagePayload, find_source: FindSource) -> Judged:
    """Raises `Refusal`: UDI_MISMATCH and the like from `find_source`, SIGNATURE_INVALID."""
    if submitted.said_udis - {payload.udi}:
        raise Refusal(
            RefusalCode.UDI_MISMATCH,
            f"The report is of {payload.udi[:100]}, not of the product that it was handed in for.",
            where=f"{submitted.where}.asset_identification.instance.sudi",
        )
    source = find_source(payload)
    return Judged(submitted, payload, source, _is_verified(submitted, payload, source))


def _is_verified(submitted: Submitted, payload: UsagePayload, source: Source) -> bool:
    """Whether a key that was certified here for the product has signed exactly these bytes.

    A key of an earlier certificate is as good: the report may have waited for its renewal.
    """
    signature = submitted.signature
    where = submitted.where.removesuffix("payload") + "signature"
    if signature.signing_type == BUILTIN:
        return False
    if signature.signing_type != VERIFIABLE:
        raise Refusal(
            RefusalCode.SIGNATURE_INVALID,
            f"Reports are signed by {VERIFIABLE} or {BUILTIN}, not by {signature.signing_type!r}.",
            where=f"{where}.signing_type",
        )
    keys = InstanceKey.objects.filter(
        instance__smart_account=source.smart_account_id,
        instance__udi=payload.udi,
        id_cert_serial=normalise_serial(signature.key),
    ).values_list("public_key", "public_key_digest")
    known = [(bytes(key), digest) for key, digest in keys]
    if not known and source.vouched:
        return False
    message = payload.text.encode()
    if any(verify_signature(key, signature.value_bytes, message) and not is_blocked(digest) for key, digest in known):
        return True
    raise Refusal(
        RefusalCode.SIGNATURE_INVALID,
        "The report is not signed, byte for byte, by the key of an ID certificate of this product.",
        where=f"{where}.value",
    )
