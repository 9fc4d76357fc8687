"""Product instances: listed with what they use, removed."""

from collections.abc import Iterable, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.models import VirtualAccount
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import ListAnswer, Page, PageQuery, StrictSerializer, Text
from cssm.common.clock import show_moment
from cssm.common.errors import Conflict, Invalid, NotFound
from cssm.common.permissions import Permission
from licensing.api.rows import answer_rows
from licensing.api.shapes import DeviceResultsAnswer, Sudi, VirtualAccountsPage
from licensing.codecs.return_code import split_return_code
from licensing.models import Hold, Pool, ProductInstance, Reservation, Usage
from licensing.querysets.devices import ProductInstanceQuerySet
from licensing.services.devices.endings import remove_instance
from licensing.services.reservations.returns import choose_by_code, return_reservation
from licensing.states import Compliance, ReservationKind

MAX_REMOVALS = 1000


class UsageRow(serializers.Serializer[Any]):
    license = serializers.CharField()
    quantity = serializers.IntegerField(help_text="In use and reserved.")


class DeviceRow(serializers.Serializer[Any]):
    licenseUsage = UsageRow(many=True)
    hostName = serializers.CharField()
    sudi = Sudi()
    displayName = serializers.CharField()
    registrationDate = serializers.DateTimeField()
    productTagName = serializers.CharField()
    virtualAccount = serializers.CharField()
    productName = serializers.CharField()
    productDescription = serializers.CharField()
    productType = serializers.CharField()
    status = serializers.ChoiceField(choices=[status.label for status in Compliance])
    lastContactDate = serializers.DateTimeField()


class DevicesAnswer(ListAnswer):
    devices = DeviceRow(many=True)


class RemovalRow(StrictSerializer):
    sudi = Sudi()
    productTagName = Text(required=False, allow_blank=True, allow_null=True, max_length=255)
    returnCode = Text(required=False, allow_blank=True, allow_null=True, max_length=200)


class Removal(StrictSerializer):
    """The list may also be named as it is misspelt in programs in the field."""

    productInstancesRemoveRequests = serializers.ListField(
        child=RemovalRow(), required=False, min_length=1, max_length=MAX_REMOVALS
    )
    productInstacesRemoveRequests = serializers.ListField(
        child=RemovalRow(), required=False, min_length=1, max_length=MAX_REMOVALS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError({"productInstancesRemoveRequests": "Give this list, once."})
        return {"rows": next(iter(attrs.values()))}


class DeviceApiView(AccountApiView):
    permission = Permission.VIEW

    def answer(self, instances: ProductInstanceQuerySet, page: Page) -> Response:
        shown = instances.visible_to(self.actor).active().order_by("-registered_at", "-pk")
        rows = shown.select_related("virtual_account", "contact")[page.offset : page.offset + page.limit]
        uses, reserved = self.uses_of(rows), self.reserved_by(rows)
        short = self.short_licenses(rows, uses)
        devices = [show_device(row, uses.get(row.pk, []), short, reserved.get(row.pk, ())) for row in rows]
        return self.success(totalRecords=shown.count(), devices=devices)

    def uses_of(self, rows: Iterable[ProductInstance]) -> dict[int, list[Usage]]:
        """What counts of each instance's use, by instance."""
        counted = Usage.objects.counted().filter(instance__in=[row.pk for row in rows])
        found: dict[int, list[Usage]] = {}
        for use in counted.select_related("license").order_by("tag"):
            found.setdefault(use.instance_id, []).append(use)
        return found

    def reserved_by(self, rows: Iterable[ProductInstance]) -> dict[int, list[Hold]]:
        """What counts as reserved for each instance, by instance."""
        held = Hold.objects.counting_at(self.now).filter(reservation__instance__in=[row.pk for row in rows])
        found: dict[int, list[Hold]] = {}
        for hold in held.select_related("license", "reservation").order_by("license__tag", "pk"):
            found.setdefault(hold.reservation.instance_id, []).append(hold)
        return found

    def short_licenses(self, rows: Iterable[ProductInstance], uses: dict[int, list[Usage]]) -> set[tuple[int, int]]:
        """(Virtual Account, license) of the pools that are short among those the instances use."""
        pools: Any = Pool.objects.filter(
            virtual_account__in={row.virtual_account_id for row in rows},
            license__in={use.license_id for used in uses.values() for use in used if use.license_id is not None},
        ).with_figures(self.now)
        short = pools.filter(now_status=Compliance.OUT_OF_COMPLIANCE)
        return set(short.values_list("virtual_account_id", "license_id"))


class VirtualAccountDevicesView(DeviceApiView):
    @reads(
        "listVirtualAccountDevices",
        "Product instances of a Virtual Account",
        DevicesAnswer,
        query=PageQuery,
        tag="devices",
    )
    def get(self, request: Request, domain: str, va: str) -> Response:
        return self.answer(ProductInstance.objects.filter(virtual_account=self.virtual_account), self.read_page())


class DevicesView(DeviceApiView):
    @changes(
        "listDevices", "Product instances of Virtual Accounts", DevicesAnswer, body=VirtualAccountsPage, tag="devices"
    )
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(VirtualAccountsPage)
        instances = ProductInstance.objects.filter(smart_account=self.smart_account)
        if wanted["virtualAccounts"]:
            instances = instances.filter(virtual_account__in=self.find_virtual_accounts(wanted["virtualAccounts"]))
        return self.answer(instances, Page(limit=wanted["limit"], offset=wanted["offset"]))


class DeviceRemovalView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "removeDevices", "Remove product instances, each by itself", DeviceResultsAnswer, body=Removal, tag="devices"
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        rows: list[dict[str, Any]] = self.read_body(Removal)["rows"]
        return answer_rows(rows, perform=self.remove, show=lambda row: {"sudi": row["sudi"]})

    def remove(self, row: dict[str, Any]) -> str:
        if code := row.get("returnCode"):
            product = (self.virtual_account, row["sudi"], row.get("productTagName"))
            reservation = find_reservation(*product, return_code=code)
            returned = return_reservation(actor=self.actor, reservation=reservation, return_code=code, now=self.now)
            if returned.kind != ReservationKind.EXPORT:
                return "The reservation was returned, and the product instance was removed."
        instance = find_instance(self.virtual_account, row["sudi"], row.get("productTagName"))
        remove_instance(actor=self.actor, instance=instance, now=self.now)
        return "The product instance was removed."


def find_instance(virtual_account: VirtualAccount, sudi: dict[str, Any], software_tag: str | None) -> ProductInstance:
    """The instance of the product in there. Raises `NotFound`, `Conflict` where there are several, `Invalid`."""
    udi = udi_of(sudi)
    found = ProductInstance.objects.active().select_related("origin").filter(virtual_account=virtual_account, udi=udi)
    if software_tag:
        found = found.filter(software_tag=software_tag)
    matches = list(found[:2])
    if not matches:
        raise NotFound(f"There is no product instance {udi} in this Virtual Account.")
    if len(matches) > 1:
        raise Conflict(f"There is more than one product instance {udi}. Give its productTagName.")
    return matches[0]


def find_reservation(
    virtual_account: VirtualAccount, sudi: dict[str, Any], software_tag: str | None, *, return_code: str | None = None
) -> Reservation:
    """The product's reservation in there: the active one, or that of a failed product; by a return code also one of its
    export keys. Raises `NotFound`, `Invalid`.
    """
    udi = udi_of(sudi)
    found = Reservation.objects.filter(virtual_account=virtual_account, udi=udi)
    if software_tag:
        found = found.filter(instance__software_tag=software_tag)
    related = found.select_related("instance", "smart_account", "virtual_account")
    if return_code and related.active().export_keys().exists():
        reservation = choose_by_code(related.order_by("-pk"), split_return_code(return_code))
        if reservation is not None:
            return reservation
    related = related.requested()
    reservation = related.active().first() or related.returnable().order_by("-pk").first()
    if reservation is None:
        raise NotFound(f"{udi} holds no reservation in this Virtual Account.")
    return reservation


def udi_of(sudi: dict[str, Any]) -> str:
    """What identifies the product: `PID:SN`, or the uuid of software. Raises `Invalid` where neither is given."""
    if sudi.get("udiPid") and sudi.get("udiSerialNumber"):
        return f"{sudi['udiPid']}:{sudi['udiSerialNumber']}"
    if sudi.get("uuid"):
        return str(sudi["uuid"])
    raise Invalid("Give udiPid and udiSerialNumber, or a uuid.")


def show_device(
    row: ProductInstance, uses: Sequence[Usage], short: set[tuple[int, int]], reserved: Sequence[Hold] = ()
) -> dict[str, Any]:
    """As in the published example, whose device has reserved what it uses. Names and kinds of products are not in our
    catalog; compliance is that of the pools it uses: what is reserved is its own, and never short.
    """
    contact = getattr(row, "contact", None)  # there is none before the first message after the registration
    is_short = any((row.virtual_account_id, use.license_id) in short for use in uses)
    status = Compliance.OUT_OF_COMPLIANCE if is_short else Compliance.AUTHORIZED
    return {
        "licenseUsage": show_usage(uses, reserved),
        "hostName": row.hostname,
        "sudi": {
            "macAddress": row.mac_address or None,
            "suvi": None,
            "hostIdentifier": row.host_identifier or None,
            "udiSerialNumber": row.udi_serial_number or None,
            "udiPid": row.udi_pid or None,
            "uuid": row.uuid or None,
            "udiVid": row.udi_vid or None,
        },
        "displayName": row.hostname or describe_udi(row),
        "registrationDate": show_moment(row.registered_at),
        "productTagName": row.software_tag,
        "virtualAccount": row.virtual_account.name,
        "productName": "",
        "productDescription": "",
        "productType": "",
        "status": status.label,
        "lastContactDate": show_moment(contact.last_contact_at if contact is not None else row.registered_at),
    }


def show_usage(uses: Sequence[Usage], reserved: Sequence[Hold]) -> list[dict[str, Any]]:
    """What the product takes of each license, in use and reserved together, as in a pool's `prepaid_inuse`."""
    sums: dict[tuple[int | None, str], tuple[str, int]] = {}
    for use in uses:
        named = use.license.display_name if use.license is not None else use.tag
        sums[use.license_id, use.tag] = (named, use.quantity)
    for hold in reserved:
        key = (hold.license_id, hold.license.tag)
        sums[key] = (hold.license.display_name, sums.get(key, ("", 0))[1] + hold.quantity)
    return [{"license": named, "quantity": quantity} for named, quantity in sums.values()]


def describe_udi(row: ProductInstance) -> str:
    parts = {"UDI_PID": row.udi_pid, "UDI_SN": row.udi_serial_number, "UUID": row.uuid}
    return "".join(f"{name}:{value}; " for name, value in parts.items() if value)
