"""The acknowledgements of reports that were handed in, as the files that products import."""

from collections.abc import Iterable
from typing import Any, Final

from cssm.common.actor import Actor
from cssm.common.clock import to_milliseconds
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.codecs.rum.acknowledgement import (
    Acknowledgement,
    AckStatus,
    ProductAcknowledgements,
    render_acknowledgements,
)
from licensing.models import RumUpload
from pki.services.signing import sign_reservation

KEPT: Final = frozenset(status.value for status in AckStatus)


def visible_results(*, actor: Actor, upload: RumUpload) -> list[dict[str, Any]]:
    """What became of the reports that count where the actor may see it, in their order."""
    scope = actor.scope(Permission.VIEW)
    if scope.everything or upload.smart_account_id in scope.smart_account_ids:
        return list(upload.results)
    return [row for row in upload.results if row["virtual_account"] in scope.virtual_account_ids]


def render_file(*, actor: Actor, upload: RumUpload) -> str:
    """One file for all products of an upload. Not inside a transaction: it signs."""
    products = _products(visible_results(actor=actor, upload=upload), upload)
    return render_acknowledgements(products, sign=sign_reservation)


def render_each(*, actor: Actor, upload: RumUpload) -> list[tuple[ProductAcknowledgements, str]]:
    """A file for each product."""
    products = _products(visible_results(actor=actor, upload=upload), upload)
    return [(product, render_acknowledgements([product], sign=sign_reservation)) for product in products]


def find_polled(*, actor: Actor, poll_id: int) -> RumUpload:
    """What this program handed in under this number. Raises `NotFound` (POLL_UNKNOWN), also for another program's."""
    own = RumUpload.objects.filter(created_by_kind=actor.kind.value, created_by_id=actor.id)
    upload = own.filter(poll_id=poll_id).first()
    if upload is None:
        raise NotFound("Nothing was handed in by you under this poll_id.", code="POLL_UNKNOWN", where="poll_id")
    return upload


def _products(results: Iterable[dict[str, Any]], upload: RumUpload) -> list[ProductAcknowledgements]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in results:
        if row["status"] in KEPT:
            rows.setdefault(row["udi"], []).append(row)
    return [
        ProductAcknowledgements(
            sudi=of_product[0]["sudi"],
            software_tag=of_product[0]["software_tag"],
            milliseconds=to_milliseconds(upload.created_at),
            rows=[Acknowledgement(row["report_id"], row["status"]) for row in of_product],
        )
        for of_product in rows.values()
    ]
