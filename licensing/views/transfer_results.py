"""What a transfer did, line by line, for good; and the template of a transfer file."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.exports import BOM
from cssm.common.permissions import Permission
from cssm.common.views import Crumb, PageView
from licensing.codecs.transfer_csv import write_transfers
from licensing.models import Allocation, OwnershipRecord, Pool
from licensing.states import LicenseType, RecordKind

SHOWN_ROWS = 200


class TransferResult(VirtualAccountView, PageView):
    permission = Permission.VIEW
    template_name = "licensing/transfer_result.html"

    def authorize(self) -> None:
        super().authorize()
        own = OwnershipRecord.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        record = own.filter(kind=RecordKind.TRANSFER, pk=self.kwargs["record"]).first()
        if record is None:
            raise NotFound("There is no such transfer out of this Virtual Account.")
        self.record = record

    def get_page_title(self) -> str:
        return f"Transfer {self.record.pk}"

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Licenses", self.tab_url("licenses"))]

    def get_context(self) -> dict[str, Any]:
        allocations = Allocation.objects.visible_to(self.actor).filter(record=self.record).order_by("pk")
        moved = list(allocations.select_related("license", "line__order", "child__virtual_account"))
        targets = sorted({row.child.virtual_account.name for row in moved if row.child})
        return {
            **super().get_context(),
            "record": self.record,
            "quantity": sum(row.quantity for row in moved),
            "targets": targets,
            "moved": [(row, LicenseType(row.line.license_type).label) for row in moved[:SHOWN_ROWS]],
            "more": max(0, len(moved) - SHOWN_ROWS),
            "back_url": self.tab_url("licenses"),
        }


class TransferTemplate(VirtualAccountView):
    """A file that lists what could be transferred: fill in quantities and targets, and send it back."""

    permission = Permission.MANAGE_ASSETS

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        own = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        pools = own.select_related("license").with_figures(self.now).order_by("license__display_name", "pk")
        text = write_transfers(
            (pool.license.display_name, pool.license.tag, "", pool.now_free, "", "", "")
            for pool in pools
            if pool.now_free
        )
        response = HttpResponse(BOM + text, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="transfer.csv"'
        return response
