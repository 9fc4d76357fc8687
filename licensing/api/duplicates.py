"""Products that seem to claim licenses twice: listed as in the portal, removed."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery, StrictSerializer, WholeNumber
from cssm.common.clock import show_moment
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.api.rows import answer_rows
from licensing.api.shapes import ResultRow, Sudi
from licensing.models import DuplicateFinding, ProductInstance
from licensing.services.devices.origins import DIRECT
from licensing.services.insight.cleaning import remove_duplicate
from licensing.services.insight.duplicate_alerts import units_held
from licensing.services.insight.suspicions import last_contact
from licensing.states import DuplicateKind, DuplicateReason

MAX_REMOVALS = 500


class DuplicateQuery(PageQuery):
    kind = CaselessChoice(choices=[kind.label for kind in DuplicateKind], required=False)


class InstanceRow(serializers.Serializer[Any]):
    sudi = Sudi()
    hostName = serializers.CharField()
    productTagName = serializers.CharField()
    virtualAccount = serializers.CharField()
    lastContactDate = serializers.DateTimeField()


class DuplicateRow(InstanceRow):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=[kind.label for kind in DuplicateKind])
    reason = serializers.ChoiceField(choices=[reason.name for reason in DuplicateReason])
    explanation = serializers.CharField()
    inUse = serializers.IntegerField(help_text="Licenses that it takes from its pools.")
    otherInstance = InstanceRow(allow_null=True, help_text="The one it doubles, where the caller may see it.")
    foundDate = serializers.DateTimeField()
    isRemovable = serializers.BooleanField(help_text="False for what an on-prem server reports.")


class DuplicatesAnswer(ListAnswer):
    duplicates = DuplicateRow(many=True)


class DuplicateRemoval(StrictSerializer):
    duplicates = serializers.ListField(child=WholeNumber(min_value=1), min_length=1, max_length=MAX_REMOVALS)


class RemovalResultRow(ResultRow):
    id = serializers.IntegerField()


class RemovalResultsAnswer(Answer):
    results = RemovalResultRow(many=True)


class DuplicatesView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "listDuplicates",
        "Product instances that seem to claim licenses twice",
        DuplicatesAnswer,
        query=DuplicateQuery,
        tag="devices",
    )
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(DuplicateQuery)
        rows = DuplicateFinding.objects.visible_to(self.actor).standing().filter(smart_account=self.smart_account)
        if "kind" in query:
            rows = rows.filter(kind=next(kind for kind in DuplicateKind if kind.label == query["kind"]))
        page = self.read_page()
        shown = rows.select_related(
            "instance__contact", "instance__origin", "instance__virtual_account",
            "other__contact", "other__virtual_account",
        ).order_by("pk")[page.offset : page.offset + page.limit]  # fmt: skip
        held = units_held([row.instance_id for row in shown])
        duplicates = [self.show(row, held.get(row.instance_id, 0)) for row in shown]
        return self.success(totalRecords=rows.count(), duplicates=duplicates)

    def show(self, row: DuplicateFinding, in_use: int) -> dict[str, Any]:
        return {
            "id": row.pk,
            **show_instance(row.instance),
            "kind": DuplicateKind(row.kind).label,
            "reason": DuplicateReason(row.reason).name,
            "explanation": DuplicateReason(row.reason).explanation,
            "inUse": in_use,
            "otherInstance": show_instance(row.other) if row.other and self.may_see(row.other) else None,
            "foundDate": show_moment(row.found_at),
            "isRemovable": row.instance.origin.name == DIRECT,
        }

    def may_see(self, instance: ProductInstance) -> bool:
        return self.actor.may(
            Permission.VIEW,
            smart_account_id=instance.smart_account_id,
            virtual_account_id=instance.virtual_account_id,
        )


class DuplicateRemovalView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "removeDuplicates",
        "Remove the product instances of duplicates, each by itself",
        RemovalResultsAnswer,
        body=DuplicateRemoval,
        tag="devices",
    )
    def post(self, request: Request, domain: str) -> Response:
        keys: list[int] = self.read_body(DuplicateRemoval)["duplicates"]
        return answer_rows(dict.fromkeys(keys), perform=self.remove, show=lambda key: {"id": key})

    def remove(self, key: int) -> str:
        own = DuplicateFinding.objects.visible_to(self.actor).standing().filter(smart_account=self.smart_account)
        finding = own.select_related("instance__origin").filter(pk=key).first()
        if finding is None:
            raise NotFound("There is no such duplicate, or it has been settled.")
        remove_duplicate(actor=self.actor, instance=finding.instance, now=self.now)
        return "The product instance was removed."


def show_instance(row: ProductInstance) -> dict[str, Any]:
    return {
        "sudi": {
            "udiPid": row.udi_pid or None,
            "udiSerialNumber": row.udi_serial_number or None,
            "udiVid": row.udi_vid or None,
            "uuid": row.uuid or None,
            "suvi": None,
            "hostIdentifier": row.host_identifier or None,
            "macAddress": row.mac_address or None,
        },
        "hostName": row.hostname,
        "productTagName": row.software_tag,
        "virtualAccount": row.virtual_account.name,
        "lastContactDate": show_moment(last_contact(row)),
    }
