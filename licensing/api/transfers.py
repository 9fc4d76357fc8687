"""Transfers between the Virtual Accounts of a Smart Account: licenses all or nothing, product instances one by one."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import NAME_LIMIT
from cssm.common.api.description import changes
from cssm.common.api.fields import Answer, StrictSerializer, Text, WholeNumber
from cssm.common.clock import show_moment
from cssm.common.errors import DomainError
from cssm.common.permissions import Permission
from licensing.api.devices import find_instance
from licensing.api.shapes import DeviceResultsAnswer, Sudi
from licensing.codecs.transfer_lines import MOST_LINES, MOST_QUANTITY, read_lines
from licensing.models import ProductInstance
from licensing.services.devices.moving import Move, transfer_instances
from licensing.services.ownership.requests import prepare_lines
from licensing.services.ownership.transfer_preview import PoolOutlook
from licensing.services.ownership.transfers import transfer_licenses
from licensing.services.pools.timeline import Standing
from licensing.states import Compliance, LicenseType, Precedence

MOST_INSTANCES = 1000


class TransferLineShape(serializers.Serializer[Any]):
    """One line; `license` is a name, and one that several licenses have needs the `entitlementTag` instead."""

    license = serializers.CharField(required=False)
    entitlementTag = serializers.CharField(required=False)
    licenseType = serializers.CharField(
        required=False, help_text=f"One of {', '.join(kind.name for kind in LicenseType)}; any without."
    )
    quantity = WholeNumber(min_value=1, max_value=MOST_QUANTITY)
    targetVirtualAccount = serializers.CharField(max_length=NAME_LIMIT)
    precedence = serializers.CharField(required=False, help_text=f"{' or '.join(Precedence)}; the first by default.")


@extend_schema_field(TransferLineShape)
class TransferLineField(serializers.JSONField):
    """Read by the transfer's own codec, which names line and field of everything that is wrong at once."""


class LicenseTransfer(StrictSerializer):
    licenses = serializers.ListField(child=TransferLineField(), min_length=1, max_length=MOST_LINES)


class DryRun(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only tell what would become of compliance; nothing is transferred."
    )


class StandingRow(serializers.Serializer[Any]):
    quantity = serializers.IntegerField(help_text="Purchased and valid now.")
    inUse = serializers.IntegerField(help_text="In use and reserved.")
    available = serializers.IntegerField(help_text="The balance; negative in a shortage.")
    status = serializers.ChoiceField(choices=[status.label for status in Compliance])


class ShortageRow(serializers.Serializer[Any]):
    date = serializers.DateTimeField()
    quantity = serializers.IntegerField()


class PoolOutlookRow(serializers.Serializer[Any]):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    virtualAccount = serializers.CharField()
    before = StandingRow()
    after = StandingRow()
    shortageBefore = ShortageRow(allow_null=True, help_text="When it would first run short without the transfer.")
    shortageAfter = ShortageRow(allow_null=True, help_text="When it would first run short with it.")


class LicenseTransferAnswer(Answer):
    transferId = serializers.IntegerField(allow_null=True, help_text="Null where it was a dry run.")
    pools = PoolOutlookRow(many=True)


class DeviceTransferRow(StrictSerializer):
    sudi = Sudi()
    productTagName = Text(required=False, allow_blank=True, allow_null=True, max_length=255)
    targetVirtualAccount = Text(max_length=NAME_LIMIT)


class DeviceTransfer(StrictSerializer):
    productInstances = serializers.ListField(child=DeviceTransferRow(), min_length=1, max_length=MOST_INSTANCES)


class LicenseTransferView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "transferLicenses",
        "Transfer licenses to other Virtual Accounts, all or nothing",
        LicenseTransferAnswer,
        body=LicenseTransfer,
        query=DryRun,
        tag="licenses",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        is_dry_run = self.read_query(DryRun)["dry_run"]
        requests, errors = read_lines(self.read_body(LicenseTransfer)["licenses"])
        lines, outlook = prepare_lines(
            actor=self.actor, source=self.virtual_account, requests=requests, errors=errors, now=self.now
        )
        pools = [show_outlook(row) for row in outlook]
        if is_dry_run:
            return self.success(transferId=None, pools=pools)
        record = transfer_licenses(actor=self.actor, source=self.virtual_account, lines=lines, now=self.now)
        return self.success(transferId=record.pk, pools=pools)


class DeviceTransferView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "transferDevices",
        "Transfer product instances to other Virtual Accounts, each by itself",
        DeviceResultsAnswer,
        body=DeviceTransfer,
        tag="devices",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        rows: list[dict[str, Any]] = self.read_body(DeviceTransfer)["productInstances"]
        outcomes: list[Move | DomainError | None] = [None] * len(rows)
        by_target: dict[VirtualAccount, list[tuple[int, ProductInstance]]] = {}
        # All are looked up first: members of one HA group move together, and would not be found here any more.
        for position, row in enumerate(rows):
            try:
                instance = find_instance(self.virtual_account, row["sudi"], row.get("productTagName"))
                target = self.find_virtual_account(row["targetVirtualAccount"])
            except DomainError as refusal:
                outcomes[position] = refusal
            else:
                by_target.setdefault(target, []).append((position, instance))
        for target, found in by_target.items():
            moves = transfer_instances(
                actor=self.actor, instances=[instance for _, instance in found], target=target, now=self.now
            )
            for (position, _), move in zip(found, moves, strict=True):
                outcomes[position] = move
        return self.answer(rows, outcomes)

    def answer(self, rows: list[dict[str, Any]], outcomes: list[Move | DomainError | None]) -> Response:
        results = []
        for row, outcome in zip(rows, outcomes, strict=True):
            failed = isinstance(outcome, DomainError) or outcome is None or outcome.error is not None
            message = outcome.message if outcome is not None else ""
            results.append({"sudi": row["sudi"], "status": "ERROR" if failed else "SUCCESS", "statusMessage": message})
        failures = sum(result["status"] == "ERROR" for result in results)
        outer = {"status": "ERROR", "statusMessage": f"{failures} of {len(results)} failed."} if failures else {}
        return Response({"results": results, "status": "SUCCESS", "statusMessage": "", **outer})


def show_outlook(row: PoolOutlook) -> dict[str, Any]:
    return {
        "license": row.license.display_name,
        "entitlementTag": row.license.tag,
        "virtualAccount": row.virtual_account.name,
        "before": show_standing(row.before),
        "after": show_standing(row.after),
        "shortageBefore": show_shortage(row.shortage_before),
        "shortageAfter": show_shortage(row.shortage_after),
    }


def show_standing(standing: Standing) -> dict[str, Any]:
    return {
        "quantity": standing.purchased,
        "inUse": standing.need,
        "available": standing.balance,
        "status": standing.status.label,
    }


def show_shortage(shortage: Any) -> dict[str, Any] | None:
    """`shortage` is (from when, how many)."""
    return None if shortage is None else {"date": show_moment(shortage[0]), "quantity": shortage[1]}
