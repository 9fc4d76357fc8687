"""Converting classic licenses, and what became of it. Asking again for the same lines tells how far they are."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import NAME_LIMIT
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, ListAnswer, PageQuery, StrictSerializer, Text, WholeNumber
from cssm.common.clock import show_moment
from cssm.common.errors import DomainError, Invalid
from cssm.common.permissions import Permission
from licensing.api.shapes import Sudi
from licensing.codecs.conversion import MOST_LINES
from licensing.models import Conversion
from licensing.services.exchange.conversion_rows import read_line
from licensing.services.exchange.conversions import Product, convert_licenses
from licensing.states.conversions import ConversionSource, ConversionState, ConversionType

MOST_DEVICES = 1000
AT_ONCE = 100
"""So many devices are answered at once; the others are in progress."""
STATUSES = {
    ConversionState.WAITING: "in_progress",
    ConversionState.COMPLETED: "converted",
    ConversionState.FAILED: "convert_failed",
}


class ConversionLineShape(StrictSerializer):
    conversionType = Text(max_length=40, help_text=" or ".join(ConversionType))
    conversionEncodingType = Text(
        required=False, allow_null=True, allow_blank=True, max_length=20, help_text="BASE64, or NONE."
    )
    conversionString = Text(
        max_length=100_000,
        trim_whitespace=False,
        help_text="Of TRUST_BASED the entitlement tag; of LICENSE_FILE the file, which names the tag.",
    )
    conversionCount = WholeNumber()


class DlcRequest(StrictSerializer):
    sudi = Sudi()
    softwareTagIdentifier = Text(required=False, allow_null=True, allow_blank=True, max_length=255)
    conversionLines = serializers.ListField(child=ConversionLineShape(), min_length=1, max_length=MOST_LINES)


class DlcAccount(StrictSerializer):
    name = Text(max_length=NAME_LIMIT)
    dlcRequests = serializers.ListField(child=DlcRequest(), min_length=1, max_length=MOST_DEVICES)


class DlcConversion(StrictSerializer):
    virtualAccounts = serializers.ListField(child=DlcAccount(), min_length=1, max_length=MOST_DEVICES)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(len(account["dlcRequests"]) for account in attrs["virtualAccounts"]) > MOST_DEVICES:
            raise serializers.ValidationError({"virtualAccounts": f"At most {MOST_DEVICES} devices at once."})
        return attrs


class ConvertedDevice(serializers.Serializer[Any]):
    conversionStatus = serializers.ChoiceField(choices=list(STATUSES.values()))
    sudi = Sudi()
    statusMessage = serializers.CharField(help_text="Why it failed.")


class DlcConversionAnswer(Answer):
    devices = ConvertedDevice(many=True)


class ConversionQuery(PageQuery):
    virtualAccount = serializers.CharField(required=False, max_length=NAME_LIMIT, help_text="Of this one only.")
    conversionStatus = serializers.ChoiceField(required=False, choices=list(STATUSES.values()))
    udi = serializers.CharField(required=False, max_length=400, help_text="PID:SN, or the uuid")


class ConvertedLineRow(serializers.Serializer[Any]):
    conversionType = serializers.ChoiceField(choices=list(ConversionType))
    entitlementTag = serializers.CharField()
    conversionCount = serializers.IntegerField()
    converted = serializers.BooleanField(help_text="By this conversion; false also where an earlier one had done it.")


class ConversionRow(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    udi = serializers.CharField()
    virtualAccount = serializers.CharField()
    softwareTagIdentifier = serializers.CharField()
    origin = serializers.ChoiceField(choices=[source.name for source in ConversionSource])
    conversionStatus = serializers.ChoiceField(choices=list(STATUSES.values()))
    statusMessage = serializers.CharField()
    reasonCode = serializers.CharField()
    requestedDate = serializers.DateTimeField()
    finishedDate = serializers.DateTimeField(allow_null=True)
    lines = ConvertedLineRow(many=True)


class ConversionsAnswer(ListAnswer):
    conversions = ConversionRow(many=True)


class DlcConvertView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "dlcConvert",
        "Convert classic licenses of devices, each by itself",
        DlcConversionAnswer,
        body=DlcConversion,
        tag="conversions",
    )
    def post(self, request: Request, domain: str) -> Response:
        devices: list[dict[str, Any]] = []
        for account in self.read_body(DlcConversion)["virtualAccounts"]:
            place: VirtualAccount | DomainError
            try:
                place = self.find_virtual_account(account["name"])
            except DomainError as refusal:
                place = refusal
            for row in account["dlcRequests"]:
                devices.append({**self.convert(place, row, len(devices) < AT_ONCE), "sudi": row["sudi"]})
        failed = sum(device["conversionStatus"] == "convert_failed" for device in devices)
        outer = {"status": "ERROR", "statusMessage": f"{failed} of {len(devices)} failed."} if failed else {}
        return Response({"devices": devices, "status": "SUCCESS", "statusMessage": "", **outer})

    def convert(self, place: VirtualAccount | DomainError, row: Mapping[str, Any], at_once: bool) -> dict[str, Any]:
        try:
            if isinstance(place, DomainError):
                raise place
            conversion = convert_licenses(
                actor=self.actor,
                virtual_account=place,
                product=read_product(row["sudi"], row.get("softwareTagIdentifier") or ""),
                lines=[
                    read_line(
                        number=number,
                        kind=line["conversionType"],
                        encoding=line.get("conversionEncodingType") or "",
                        text=line["conversionString"],
                        count=line["conversionCount"],
                    )
                    for number, line in enumerate(row["conversionLines"], start=1)
                ],
                source=ConversionSource.API,
                at_once=at_once,
                now=self.now,
            )
        except DomainError as refusal:
            return {"conversionStatus": "convert_failed", "statusMessage": refusal.message}
        return {"conversionStatus": STATUSES[ConversionState(conversion.state)], "statusMessage": conversion.reason}


class ConversionsView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "listConversions",
        "Conversions of classic licenses",
        ConversionsAnswer,
        query=ConversionQuery,
        tag="conversions",
    )
    def get(self, request: Request, domain: str) -> Response:
        wanted = self.read_query(ConversionQuery)
        rows = Conversion.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        if name := wanted.get("virtualAccount"):
            rows = rows.filter(virtual_account=self.find_virtual_account(name))
        if status := wanted.get("conversionStatus"):
            rows = rows.filter(state={shown: state for state, shown in STATUSES.items()}[status])
        if udi := wanted.get("udi"):
            rows = rows.filter(udi=udi)
        total, start = rows.count(), wanted["offset"]
        page = rows.select_related("virtual_account").prefetch_related("lines").order_by("-pk")
        shown = [show_conversion(row) for row in page[start : start + wanted["limit"]]]
        return self.success(totalRecords=total, conversions=shown)


def read_product(sudi: Mapping[str, Any], software_tag: str) -> Product:
    """Raises `Invalid` where it names no product."""
    pid, serial_number, uuid = (sudi.get(name) or "" for name in ("udiPid", "udiSerialNumber", "uuid"))
    if serial_number and pid:
        return Product(f"{pid}:{serial_number}", pid, serial_number, software_tag)
    if serial_number or not uuid:
        raise Invalid("Give udiPid and udiSerialNumber, or a uuid.", code="SUDI_MISSING", where="sudi")
    return Product(uuid, pid, "", software_tag)


def show_conversion(row: Conversion) -> dict[str, Any]:
    return {
        "id": row.pk,
        "udi": row.udi,
        "virtualAccount": row.virtual_account.name,
        "softwareTagIdentifier": row.software_tag,
        "origin": ConversionSource(row.source).name,
        "conversionStatus": STATUSES[ConversionState(row.state)],
        "statusMessage": row.reason,
        "reasonCode": row.reason_code,
        "requestedDate": show_moment(row.requested_at),
        "finishedDate": show_moment(row.finished_at),
        "lines": [
            {
                "conversionType": line.kind,
                "entitlementTag": line.tag,
                "conversionCount": line.quantity,
                "converted": line.is_new,
            }
            for line in sorted(row.lines.all(), key=lambda each: each.number)
        ],
    }
