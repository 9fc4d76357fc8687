"""Convert to Smart Licensing: what was converted, and converting classic licenses of products by hand or by file."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import cached_property

from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import get_virtual_account
from accounts.views.base import AccountView
from cssm.common.errors import Conflict, DomainError, Invalid
from cssm.common.exports import BOM
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import Crumb, FormAction
from cssm.common.wizards import Step, WizardView
from licensing.codecs.conversion import WantedLine
from licensing.codecs.conversion_csv import ProductRow, write_example
from licensing.forms.conversions import ProductForm, ProductsForm, rows_of
from licensing.models import Conversion, ConversionLine, ProductInstance
from licensing.services.exchange.conversions import Product, convert_licenses
from licensing.states.conversions import ConversionSource, ConversionState
from licensing.tables.conversions import ConversionTable
from licensing.views.long_runs import LongRun, RunPage
from licensing.views.subscriptions import VirtualAccountChoice

SHOWN_ROWS = 200
TITLE = "Convert to Smart Licensing"


class ConversionFilter(TableFilter):
    search_fields = ("udi", "software_tag", "lines__tag", "lines__license__display_name", "reason")

    virtual_account = VirtualAccountChoice()
    state = ChoiceFilter(label="Result", choices=[(s.value, s.label) for s in ConversionState], empty_label="All")
    source = ChoiceFilter(label="Asked by", choices=[(s.value, s.label) for s in ConversionSource], empty_label="All")

    @property
    def qs(self) -> QuerySet[Conversion]:
        rows: QuerySet[Conversion] = super().qs
        # A word that is found in several lines would give a row several times.
        return self.queryset.filter(pk__in=rows.order_by().values("pk")) if self.data.get("q") else rows


class Conversions(AccountView, TableView):
    """The history of all conversions of the account, and the way to new ones."""

    permission = Permission.VIEW
    page_title = TITLE
    table_class = ConversionTable
    filter_class = ConversionFilter
    template_name = "licensing/table_page.html"

    def get_queryset(self) -> QuerySet[Conversion]:
        lines = ConversionLine.objects.select_related("license")
        rows = Conversion.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        rows = rows.select_related("virtual_account").prefetch_related(Prefetch("lines", queryset=lines))
        sums = ConversionLine.objects.filter(conversion=OuterRef("pk")).order_by().values("conversion")
        registered = ProductInstance.objects.visible_to(self.actor).active().order_by("-pk")
        same = registered.filter(smart_account=OuterRef("smart_account"), udi=OuterRef("udi"))
        return rows.annotate(
            quantity=Subquery(sums.annotate(n=Sum("quantity")).values("n")),
            instance_piid=Subquery(same.values("piid")[:1]),
            instance_place=Subquery(same.values("virtual_account__name")[:1]),
        )

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url}

    def get_context(self) -> dict[str, Any]:
        actions = "licensing/_conversion_actions.html" if self.may(Permission.MANAGE_ASSETS) else ""
        return {**super().get_context(), "table_actions": actions, "conversions_url": f"{self.account_url}conversions/"}


class ConvertView(AccountView):
    """What the pages that convert have in common."""

    permission = Permission.MANAGE_ASSETS

    @property
    def conversions_url(self) -> str:
        return f"{self.account_url}conversions/"

    def get_success_url(self) -> str:
        return self.conversions_url

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb(TITLE, self.conversions_url)]

    @cached_property
    def accounts(self) -> list[str]:
        """Where the person may put licenses, the default one first."""
        live = VirtualAccount.objects.live().visible_to(self.actor, Permission.MANAGE_ASSETS)
        of_account = live.filter(smart_account=self.smart_account)
        return list(of_account.order_by("-is_default", "name").values_list("name", flat=True))

    def convert(self, account: str, product: Product, lines: Sequence[WantedLine]) -> Conversion:
        place = get_virtual_account(
            actor=self.actor, smart_account=self.smart_account, name=account, permission=Permission.MANAGE_ASSETS
        )
        return convert_licenses(
            actor=self.actor,
            virtual_account=place,
            product=product,
            lines=lines,
            source=ConversionSource.PORTAL,
            now=self.now,
        )


class ConvertProduct(ConvertView, FormAction):
    page_title = "Convert the licenses of a product"
    form_class = ProductForm
    submit_label = "Convert"
    explanation = (
        "All lines become licenses of the Virtual Account, or none does. A line that was converted before, by whomever,"
        " is not converted again."
    )

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"accounts": self.accounts}

    def perform(self, form: Any) -> str:
        values = form.cleaned_data
        pid, serial_number = values["udi_pid"], values["udi_serial_number"]
        product = Product(f"{pid}:{serial_number}", pid, serial_number, values["software_tag"])
        conversion = self.convert(values["virtual_account"], product, values["wanted"])
        if conversion.state == ConversionState.FAILED:
            raise Conflict(conversion.reason, code=conversion.reason_code, where="conversionLines")
        return f"{told(conversion, self.now)} ({product.udi})"


class FileRun(ConvertView, LongRun):
    """The job is the text of the file, and the name of the Virtual Account."""

    @property
    def file_url(self) -> str:
        return f"{self.conversions_url}file/"

    @property
    def job_key(self) -> str:
        return f"convert:{self.smart_account.pk}"

    def read_rows(self, job: dict[str, Any]) -> list[ProductRow]:
        self.target: str = job["virtual_account"]
        return rows_of(job["text"])

    def do_row(self, number: int, row: ProductRow) -> dict[str, Any]:
        result = {"udi": row.udi if row.udi_pid else "", "message": "", "code": "", "done": False}
        try:
            if row.errors:
                raise Invalid(row.message, code=row.errors[0].code)
            product = Product(row.udi, row.udi_pid, row.udi_serial_number, row.software_tag)
            conversion = self.convert(self.target, product, row.lines)
        except DomainError as error:
            return {**result, "message": error.message, "code": error.code}
        if conversion.state == ConversionState.FAILED:
            return {**result, "message": conversion.reason, "code": conversion.reason_code}
        return {**result, "done": True, "message": told(conversion, self.now)}


class ConvertFile(FileRun, WizardView):
    page_title = "Convert the licenses of many products"
    submit_label = "Convert"
    replaced_by_file = "text"
    body_templates = {"products": "licensing/_convert_products.html", "review": "licensing/_convert_review.html"}
    steps = (Step("products", "Products and licenses", ProductsForm),)

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {"accounts": self.accounts} if step.key == "products" else {}

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        return {name: [form.cleaned_data[name]] for name in ("virtual_account", "text")}

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        values = answers["products"]
        return [("Virtual Account", values["virtual_account"]), ("Products", f"{len(values['rows']):,}")]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step.key == "products":
            return {"example_url": f"{self.file_url}example.csv"}
        rows = answers["products"]["rows"]
        return {"wide": True, "rows": rows[:SHOWN_ROWS], "more_rows": max(0, len(rows) - SHOWN_ROWS)}

    def perform(self, answers: dict[str, dict[str, Any]]) -> HttpResponse:
        values = answers["products"]
        self.advance({"text": values["text"], "virtual_account": values["virtual_account"], "key": self.key})
        return self.redirect(f"{self.file_url}run/")

    def find_done(self, key: str) -> str:
        return f"{self.file_url}run/" if (self.job or {}).get("key") == key else ""


class RunFile(FileRun, RunPage):
    page_title = "Convert the licenses of many products"
    template_name = "licensing/convert_result.html"
    progress_label = "Converting"

    @property
    def begin_url(self) -> str:
        return self.file_url

    def get_job_context(self, job: dict[str, Any]) -> dict[str, Any]:
        converted = sum(bool(result["done"]) for result in job["results"])
        urls = {"back_url": self.conversions_url, "again_url": self.file_url}
        return {**super().get_job_context(job), "converted": converted, **urls}


class ConvertExample(ConvertView):
    """A file that shows the columns."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = HttpResponse(BOM + write_example(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="conversions-example.csv"'
        return response


def told(conversion: Conversion, now: datetime) -> str:
    """What came of one that was not refused."""
    if conversion.state == ConversionState.WAITING:
        return "In progress"
    return "Converted" if conversion.finished_at == now else "Converted before: nothing was added"
