"""Conversions that products asked their on-prem server for: carried out with the file they came in, answered in it.

They are part of what the file does, all or nothing with the rest of it. A full response tells of each product's latest
conversion besides, for a server that lost an answer, or everything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q

from cssm.common.errors import Invalid
from licensing.codecs.conversion import WantedLine, make_line
from licensing.codecs.conversion_reasons import ENGLISH, explain
from licensing.codecs.device_udi import DeviceUdi
from licensing.models import Conversion, ProductInstance
from licensing.services.exchange.conversions import (
    Place,
    Product,
    begin_conversion,
    carry_out,
    check_lines,
    describe_result,
    find_standing,
    refuse_conversion,
)
from licensing.states.conversions import ConversionSource, ConversionState
from sync.models import Exchange, KeptRequest, OnPremServer
from sync.services.servers import actor_of_server
from sync.services.staging import read_kept

MOST_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the file."""

    product: Product
    lines: Sequence[WantedLine]
    locale: str
    error: Invalid | None


def convert_kept(*, server: OnPremServer, exchange: Exchange, now: datetime) -> dict[int, str]:
    """Carry out the conversions of the file, in the transaction that applies it, after its instances; returns their
    ids in the order of the file, with the locale of each. The server is locked."""
    kept = list(KeptRequest.objects.filter(exchange=exchange, kind="conversion", taken_at__isnull=True).order_by("pk"))
    asked = [_read(read_kept(row)) for row in kept]
    places = _find_places(server, [each.product.udi for each in asked])
    ids = {_begin(server, each, places, now): each.locale for each in asked}
    carry_out(conversion_ids=list(ids), now=now)
    KeptRequest.objects.filter(pk__in=[row.pk for row in kept]).update(taken_at=now)
    return ids


def list_results(*, server: OnPremServer, locales: Mapping[int, str], full: bool) -> Iterator[Mapping[str, Any]]:
    """The rows of `:device_conversion_response:` (white paper, table 7); `locales` as `convert_kept` returns them."""
    wanted = Q(pk__in=list(locales))
    if full:
        later = Conversion.objects.filter(origin=server.origin_id, udi=OuterRef("udi"), pk__gt=OuterRef("pk"))
        latest = Conversion.objects.filter(~Exists(later), origin=server.origin_id)
        wanted |= Q(pk__in=latest.values("pk"))
    rows = Conversion.objects.filter(wanted, smart_account=server.smart_account_id)
    for row in rows.exclude(state=ConversionState.WAITING).order_by("pk").iterator():
        result = describe_result(row)
        yield {
            "udi_pid": row.udi_pid,
            "udi_serial_number": row.udi_serial_number,
            "conversion_status": result["conversion_status"],
            "status_message": result["status_message"],
            "status_message_localized": explain(row.reasons, locales.get(row.pk) or ENGLISH),
            "software_tag_identifier": row.software_tag,
        }


def describe_conversions(conversion_ids: Iterable[int]) -> dict[str, Any]:
    """For the difference that a file makes: how many, and the first of them by name."""
    rows = list(Conversion.objects.filter(pk__in=list(conversion_ids)).order_by("pk"))
    return {
        "converted": sum(row.state == ConversionState.COMPLETED for row in rows),
        "refused": sum(row.state == ConversionState.FAILED for row in rows),
        "results": [
            {
                "udiPid": row.udi_pid,
                "udiSerialNumber": row.udi_serial_number,
                "status": describe_result(row)["conversion_status"],
                "message": row.reason,
            }
            for row in rows[:MOST_SHOWN]
        ],
    }


def _read(content: Mapping[str, Any]) -> Asked:
    pid, serial_number = content[":udi_pid"], content[":udi_serial_number"]
    udi = DeviceUdi(pid, serial_number).udi
    product = Product(udi, pid, serial_number, content[":software_tag_identifier"])
    rows = content[":conversion_lines"]
    lines = [
        make_line(row[":conversion_type"], row[":entitlement_tag"], row[":count"], row.get(":payload") or "")
        for row in rows
    ]
    locale = content.get(":locale") or ""
    try:
        check_lines(lines)
    except Invalid as error:
        return Asked(product, [], locale, error)
    return Asked(product, lines, locale, None)


def _find_places(server: OnPremServer, udis: Sequence[str]) -> dict[str, int]:
    """The Virtual Account of each product that this server has."""
    own = ProductInstance.objects.active().filter(origin=server.origin_id, udi__in=udis).order_by("pk")
    return dict(own.values_list("udi", "virtual_account_id"))


def _begin(server: OnPremServer, asked: Asked, places: Mapping[str, int], now: datetime) -> int:
    """A product that the server does not name (yet) is converted where the server is registered."""
    actor, udi = actor_of_server(server), asked.product.udi
    place = Place(server.smart_account_id, places.get(udi, server.virtual_account_id), server.origin_id)
    common: dict[str, Any] = {"actor": actor, "place": place, "product": asked.product, "now": now}
    if asked.error is not None:
        error = asked.error
        reasons = error.details["reasons"]
        return refuse_conversion(source=ConversionSource.ON_PREM, code=error.code, reasons=reasons, **common).pk
    standing = find_standing(smart_account_id=server.smart_account_id, udi=udi, lines=asked.lines)
    if standing is not None:
        return standing.pk
    return begin_conversion(source=ConversionSource.ON_PREM, lines=asked.lines, **common).pk
