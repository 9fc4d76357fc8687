"""Usage reports: what came in, with its gaps; one of them; handing in a file, and the acknowledgement of it."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from django import forms
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.text import Badge, Tone
from cssm.common.views import Crumb, FormAction, PageView
from licensing.codecs.rum.acknowledgement import AckStatus
from licensing.forms.usage_reports import UsageFileForm
from licensing.models import ProductInstance, RumReport, RumUpload
from licensing.services.exchange.rum.acknowledging import render_file, visible_results
from licensing.services.exchange.rum.uploads import upload_file
from licensing.states import RumChannel
from licensing.tables.usage_reports import LEAST_GAP, UsageReportTable, describe_span, gaps_of, proof_of
from licensing.views.account_tabs import AccountTab
from licensing.views.subscriptions import VirtualAccountChoice

SHOWN_ROWS: Final = 200
LEAST: Final = int(LEAST_GAP.total_seconds())
GAPS, VERIFIED, UNVERIFIED = "gaps", "verified", "unverified"


class UsageReportFilter(TableFilter):
    search_fields = ("udi", "meter__tag", "meter__license__display_name", "virtual_account__name")

    virtual_account = VirtualAccountChoice()
    gap = ChoiceFilter(label="Gaps", method="with_gaps", choices=[(GAPS, "With a gap")], empty_label="All")
    proof = ChoiceFilter(
        label="Signature",
        method="with_proof",
        choices=[(VERIFIED, "Verified"), (UNVERIFIED, "Not verified")],
        empty_label="All",
    )

    def with_gaps(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Before the report, or within it."""
        return queryset.filter(Q(covered_until__lte=F("period_start") - LEAST_GAP) | Q(unmeasured_seconds__gte=LEAST))

    def with_proof(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(is_verified=value == VERIFIED)


class UsageReports(AccountTab, TableView):
    permission = Permission.VIEW
    tab = "all/usage-reports/"
    table_class = UsageReportTable
    filter_class = UsageReportFilter
    template_name = "licensing/account_tab.html"

    def get_queryset(self) -> QuerySet[RumReport]:
        own = RumReport.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        shown = own.current().with_gap().select_related("meter__license", "virtual_account")
        return shown.defer("payload", "header", "signature")

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"reports_url": self.inventory_url + self.tab}

    def get_context(self) -> dict[str, Any]:
        actions = "licensing/_usage_reports_actions.html" if self.may(Permission.MANAGE_ASSETS) else ""
        return {**super().get_context(), "table_actions": actions, "reports_url": self.inventory_url + self.tab}


class ReportsView(AccountView):
    """What is done below the list."""

    permission = Permission.VIEW

    @property
    def reports_url(self) -> str:
        return f"{self.account_url}inventory/all/usage-reports/"

    def get_success_url(self) -> str:
        return self.reports_url

    def get_crumbs(self) -> list[Crumb]:
        inventory = Crumb("Inventory", f"{self.account_url}inventory/")
        return [*super().get_crumbs(), inventory, Crumb("Usage Reports", self.reports_url)]


class OneReport(ReportsView):
    """A report that the actor may see."""

    def authorize(self) -> None:
        super().authorize()
        own = RumReport.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        report = own.filter(pk=self.kwargs["report"]).with_gap().select_related("meter__license").first()
        if report is None:
            raise NotFound("There is no such usage report.")
        self.report = report


class UsageReportPage(OneReport, PageView):
    template_name = "licensing/usage_report_page.html"

    def get_page_title(self) -> str:
        return f"Usage report {self.report.report_id}"

    def get_context(self) -> dict[str, Any]:
        measurements = self.report.measurements.all()
        return {
            **super().get_context(),
            "report": self.report,
            "proof": proof_of(self.report.is_verified),
            "facts": self._facts(),
            "gaps": list(self._gaps()),
            "measurements": measurements[:SHOWN_ROWS],
            "more": max(0, measurements.count() - SHOWN_ROWS),
            "reports_url": self.reports_url,
        }

    def _facts(self) -> list[tuple[str, Any]]:
        report, license = self.report, self.report.meter.license
        place = f"{self.account_url}inventory/{quote(report.virtual_account.name, safe='')}/"
        facts: list[tuple[str, Any]] = [
            ("Product", self._product()),
            ("Virtual Account", format_html('<a href="{}">{}</a>', place, report.virtual_account.name)),
            ("License", license.display_name if license else "not in the catalog"),
            ("Entitlement tag", report.meter.tag),
            ("Software", f"{report.software_tag} {report.software_version}".strip()),
            ("Came by", RumChannel(report.channel).label),
            ("State", "closed" if report.is_closed else "open: the product may send it again, longer"),
            ("Counted", "yes" if report.is_counted else "no: the product stood by for another"),
            ("Signed by", f"{report.signing_type} {report.signing_key}".strip()),
            ("SHA-256", report.digest),
        ]
        if report.upload_id is not None and self.may(Permission.MANAGE_ASSETS):
            link = format_html('<a href="{}uploads/{}/">what was handed in</a>', self.reports_url, report.upload_id)
            facts.append(("Acknowledgement", link))
        return facts

    def _product(self) -> SafeString | str:
        """A way to the product, where it is registered and the reader may see it."""
        registered = ProductInstance.objects.visible_to(self.actor).active().select_related("virtual_account")
        same = registered.filter(smart_account=self.smart_account, udi=self.report.udi)
        instance = same.order_by("-pk").first()
        if instance is None:
            return self.report.udi
        place = f"{self.account_url}inventory/{quote(instance.virtual_account.name, safe='')}/"
        return format_html('<a href="{}instances/{}/">{}</a>', place, instance.piid, instance.udi)

    def _gaps(self) -> Iterator[str]:
        report: Any = self.report  # with what it was annotated with
        for where, gap in gaps_of(report):
            since = report.covered_until if where == "before" else None
            exact = "" if since is None else f", since {since:%Y-%m-%d %H:%M:%S} UTC"
            yield f"{describe_span(gap)} {where} it{exact}"


class UsageReportPayload(OneReport):
    """The exact bytes that the product signed."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = HttpResponse(self.report.payload.encode(), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="usage-report-{self.report.report_id}.json"'
        return response


class UploadUsageReports(ReportsView, FormAction):
    permission = Permission.MANAGE_ASSETS
    page_title = "Upload usage reports"
    form_class = UsageFileForm
    submit_label = "Upload"
    explanation = (
        "Each report is checked by itself. Afterwards you can save the acknowledgement, to be imported by the products."
    )

    def get_form_kwargs(self) -> dict[str, Any]:
        managed = VirtualAccount.objects.live().visible_to(self.actor, Permission.MANAGE_ASSETS)
        own = managed.filter(smart_account=self.smart_account).order_by("-is_default", "name")
        return {"virtual_accounts": own}

    def perform(self, form: forms.Form) -> HttpResponse:
        upload = upload_file(
            actor=self.actor,
            virtual_account=form.cleaned_data["virtual_account"],
            content=form.cleaned_data["file"],
            file_name=str(getattr(form.files["file"], "name", "")),
            now=self.now,
        )
        return self.redirect(f"{self.reports_url}uploads/{upload.pk}/")


class OneUpload(ReportsView):
    """What was handed in, for those who may do it; each sees the reports of their Virtual Accounts."""

    permission = Permission.MANAGE_ASSETS

    def authorize(self) -> None:
        super().authorize()
        own = RumUpload.objects.filter(smart_account=self.smart_account, pk=self.kwargs["upload"])
        upload = own.first()
        results = visible_results(actor=self.actor, upload=upload) if upload else []
        if upload is None or not results:
            raise NotFound("There is no such upload of usage reports.")
        self.upload, self.results = upload, results


class UsageUploadResult(OneUpload, PageView):
    template_name = "licensing/usage_upload.html"
    page_title = "What became of the usage reports"

    def get_context(self) -> dict[str, Any]:
        kept = [row for row in self.results if row["status"] in set(AckStatus)]
        known = sum(row["status"] == AckStatus.DUPLICATE for row in kept)
        return {
            **super().get_context(),
            "upload": self.upload,
            "accepted": len(kept) - known,
            "known": known,
            "refused": len(self.results) - len(kept),
            "results": [(row, badge_of(row["status"])) for row in self.results[:SHOWN_ROWS]],
            "more": max(0, len(self.results) - SHOWN_ROWS),
            "reports_url": self.reports_url,
        }


def badge_of(status: str) -> Badge:
    """The code itself: it is what the product is told."""
    tones = {AckStatus.ACCEPTED.value: Tone.OK, AckStatus.DUPLICATE.value: Tone.MUTED}
    return Badge(status, tones.get(status, Tone.BAD))


class UsageAcknowledgement(OneUpload):
    """The file that the products import."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        content = render_file(actor=self.actor, upload=self.upload)
        response = HttpResponse(content.encode(), content_type="application/xml")
        response["Content-Disposition"] = f'attachment; filename="ACK_usage_{self.upload.pk}.xml"'
        return response
