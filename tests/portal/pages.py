"""Pages made of the components alone, so that these are tested without any app's pages."""

from typing import Any

from django import forms
from django.contrib.auth.views import LogoutView
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import include, path

from accounts.models import VirtualAccount
from accounts.views.base import AccountView, VirtualAccountView
from cssm.common.errors import Conflict, Invalid
from cssm.common.forms import PortalForm, QuantityField
from cssm.common.permissions import Access, Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.tables import BadgeColumn, BulkAction, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import badge
from cssm.common.text import Badge, Tone
from cssm.common.views import ConfirmAction, FormAction, PageView, SelectionAction
from cssm.common.wizards import Step, WizardView


class SampleTable(Table):
    key = "sample"
    caption = "Virtual Accounts"
    fixed = ("name",)
    hidden = ("uuid",)
    empty_title = "No Virtual Accounts"

    name = Column("Name", linkify=lambda record: f"/accounts/acme.example/inventory/{record.name}/")
    description = Column("Description")
    level = BadgeColumn("Level", accessor="pk", orderable=False)
    units = NumberColumn("Units", accessor="pk")
    created_at = WhenColumn("Created")
    uuid = CodeColumn("Identifier")

    class Meta:
        order_by = "name"

    def render_units(self, value: int) -> str:
        return f"{-value}"

    def value_units(self, value: int) -> int:
        return -value

    def value_level(self, value: int) -> str:
        return Badge("Fine", Tone.OK).label

    def render_level(self, value: int) -> str:
        return badge(Badge("Fine", Tone.OK))


class SampleFilter(TableFilter):
    search_fields = ("name", "description")
    access_level = ChoiceFilter(
        label="Access", empty_label="any", choices=[("PUBLIC", "public"), ("PRIVATE", "private")]
    )


class Overview(AccountView, PageView):
    permission = Permission.VIEW
    page_title = "Overview"
    template_name = "portal/welcome.html"


class Manage(Overview):
    permission = Permission.MANAGE_SA_USERS
    page_title = "Manage"


class SampleList(AccountView, TableView):
    permission = Permission.VIEW
    page_title = "Inventory"
    table_class = SampleTable
    filter_class = SampleFilter
    template_name = "portal/operator_table.html"
    empty_action: tuple[str, str] | None = ("Create one", "/nowhere/")

    def get_queryset(self) -> QuerySet[VirtualAccount]:
        return VirtualAccount.objects.live().filter(smart_account=self.smart_account)


class ChoosableList(SampleList):
    """The same rows, to be chosen by whoever may do something with them."""

    empty_action = None

    def get_bulk_actions(self) -> list[BulkAction]:
        url = f"{self.account_url}describe/"
        return [BulkAction("Describe", url, "edit")] if self.may(Permission.MANAGE_ASSETS) else []


class DescribeForm(PortalForm):
    description = forms.CharField(max_length=50)


class DescribeChosen(AccountView, SelectionAction):
    permission = Permission.MANAGE_ASSETS
    form_class = DescribeForm

    def get_page_title(self) -> str:
        return f"Describe {len(self.selected)} rows"

    def get_success_url(self) -> str:
        return f"{self.account_url}choose/"

    def perform(self, form: forms.Form) -> str:
        if form.cleaned_data["description"] == "taken":
            raise Conflict("There is one of this name.", where="description")
        rows = VirtualAccount.objects.visible_to(self.actor).filter(pk__in=self.selected)
        return f"{rows.update(description=form.cleaned_data['description'])} rows were described."


class SamplePage(VirtualAccountView, PageView):
    permission = Permission.MANAGE_ASSETS
    page_title = "General"
    template_name = "base.html"


class SampleForm(PortalForm):
    description = forms.CharField(max_length=50, help_text="What it is for.")
    quantity = QuantityField()
    kind = forms.ChoiceField(choices=[("a", "First"), ("b", "Second")])
    agreed = forms.BooleanField(label="Allow export-controlled functionality", required=False)


class SampleAction(AccountView, FormAction):
    permission = Permission.MANAGE_ASSETS
    page_title = "Create a thing"
    submit_label = "Create"
    explanation = "Things are counted."
    form_class = SampleForm

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/"

    def perform(self, form: forms.Form) -> str | HttpResponse:
        if form.cleaned_data["description"] == "taken":
            raise Conflict("There is one of this name.", where="description")
        if form.cleaned_data["description"] == "nowhere":
            raise Invalid("This cannot be.")
        return "The thing was created."


class SampleConfirm(AccountView, ConfirmAction):
    permission = Permission.MANAGE_ASSETS
    page_title = "Remove the thing"
    submit_label = "Remove"
    explanation = "It cannot be brought back."

    def get_consequences(self) -> list[str]:
        return ["Its licenses become free.", "The device has to register again."]

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/"

    def perform(self, form: forms.Form) -> str | HttpResponse:
        return "The thing was removed."


class CodeForm(PortalForm):
    code = forms.CharField()


class AmountForm(PortalForm):
    amount = QuantityField()


class SampleWizard(AccountView, WizardView):
    permission = Permission.MANAGE_ASSETS
    page_title = "Reserve"
    steps = (Step("code", "Code", CodeForm), Step("amount", "Amount", AmountForm))

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/"

    def perform(self, answers: dict[str, dict[str, Any]]) -> str | HttpResponse:
        if answers["code"]["code"] == "SPENT":
            raise Conflict("The code is spent.")
        return f"Reserved {answers['amount']['amount']} by {answers['code']['code']}."


class Broken(PageView):
    permission = Access.PUBLIC
    template_name = "base.html"

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        raise RuntimeError("broken on purpose")


urlpatterns = [
    path("", include("cssm.portal.urls")),
    path("accounts/acme.example/create/", SampleAction.as_view(), {"domain": "acme.example"}, name="request-access"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
    path("broken/", Broken.as_view()),
    path("accounts/<str:domain>/", Overview.as_view()),
    path("accounts/<str:domain>/inventory/", SampleList.as_view()),
    path("accounts/<str:domain>/manage/", Manage.as_view()),
    path("accounts/<str:domain>/create/", SampleAction.as_view()),
    path("accounts/<str:domain>/wizard/", SampleWizard.as_view()),
    path("accounts/<str:domain>/choose/", ChoosableList.as_view()),
    path("accounts/<str:domain>/describe/", DescribeChosen.as_view()),
    path("accounts/<str:domain>/remove/", SampleConfirm.as_view()),
    path("accounts/<str:domain>/inventory/<str:va>/", SamplePage.as_view()),
]

handler400 = "cssm.portal.views.errors.bad_request"
handler403 = "cssm.portal.views.errors.forbidden"
handler404 = "cssm.portal.views.errors.not_found"
handler500 = "cssm.portal.views.errors.server_error"
