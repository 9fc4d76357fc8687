"""What every page is made of: who may see it, how it is drawn, how a refusal is shown.

A page is a subclass that declares `permission` and, below `/accounts/`, starts from `accounts.views.base`. Views read
and draw; what changes data is a service, called from `FormAction.perform`.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final, NamedTuple

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.functional import cached_property
from django.views import View
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from cssm.common.actor import Actor
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unavailable
from cssm.common.forms import ConfirmForm, add_domain_error
from cssm.common.permissions import Access, Permission

STATUS_OF_ERROR: Final[dict[type[DomainError], HTTPStatus]] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Forbidden: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    Invalid: HTTPStatus.BAD_REQUEST,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
MAX_SELECTED: Final = 500

TITLE_OF_STATUS: Final[dict[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "This request cannot be understood",
    HTTPStatus.FORBIDDEN: "You may not do this",
    HTTPStatus.NOT_FOUND: "There is no such page",
    HTTPStatus.CONFLICT: "This is not possible now",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong",
    HTTPStatus.SERVICE_UNAVAILABLE: "This is not possible for the moment",
}


class PortalRequest(HttpRequest):
    """A request with what our middleware puts on it. For annotations only."""

    actor: Actor
    htmx: HtmxDetails


class Crumb(NamedTuple):
    """One step of the path to a page; without a URL it is the page itself."""

    label: str
    url: str = ""


def wants_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page and not, by going back in history, for the whole."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request


def show_error(request: HttpRequest, *, status: HTTPStatus, message: str, code: str = "") -> HttpResponse:
    """The one error state: a page of its own, or a part where htmx asked for one."""
    template = "components/error.html" if wants_part(request) else "portal/error.html"
    title = TITLE_OF_STATUS.get(status, "This did not work")
    context = {"page_title": title, "title": title, "message": message, "code": code, "status": status.value}
    return render(request, template, context, status=status)


def handle_domain_error(request: HttpRequest, error: DomainError) -> HttpResponse:
    """What a person sees when a service refuses: 404 for a stranger's object, 403 for a missing right."""
    status = next((STATUS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_OF_ERROR), None)
    return show_error(request, status=status or HTTPStatus.BAD_REQUEST, message=error.message, code=error.code)


class PortalView(View):
    """A page or a part of one. `permission` is obligatory: a system check refuses a view without.

    `now` is the time of the request; hand it down to services.
    """

    permission: ClassVar[Permission | Access]
    page_title: str = ""
    template_name: str = ""
    request: PortalRequest
    now: datetime

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.now = read_clock()

    @property
    def actor(self) -> Actor:
        return self.request.actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.permission is not Access.PUBLIC and not request.user.is_authenticated:
            return self._send_to_login()
        try:
            self.authorize()
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return handle_domain_error(request, error)

    def authorize(self) -> None:
        """Load what the URL names and raise `NotFound` or `Forbidden`. Account pages extend this."""
        if isinstance(self.permission, Permission):
            self.actor.require(self.permission)

    def get_page_title(self) -> str:
        return self.page_title

    def get_crumbs(self) -> list[Crumb]:
        """The way to this page, without the page itself."""
        return []

    def get_context(self) -> dict[str, Any]:
        """What every template of this page can use."""
        return {"page_title": self.get_page_title(), "crumbs": self.get_crumbs()}

    def render(
        self, template: str = "", context: dict[str, Any] | None = None, *, status: int = HTTPStatus.OK
    ) -> HttpResponse:
        """Draw the whole page."""
        return render(
            self.request, template or self.template_name, {**self.get_context(), **(context or {})}, status=status
        )

    def render_part(
        self, template: str, context: dict[str, Any] | None = None, *, status: int = HTTPStatus.OK
    ) -> HttpResponse:
        """Draw a part for htmx to put in place; its template is named `_part.html`."""
        return self.render(template, context, status=status)

    @property
    def wants_part(self) -> bool:
        return wants_part(self.request)

    def redirect(self, url: str) -> HttpResponse:
        """Go to `url`, from a page or from a dialog."""
        return HttpResponseClientRedirect(url) if self.request.htmx else HttpResponseRedirect(url)

    def _send_to_login(self) -> HttpResponse:
        if self.request.htmx:
            # htmx would follow a plain redirect and put the login page into a corner of this one.
            return HttpResponseClientRedirect(redirect_to_login(self._current_path(), settings.LOGIN_URL).url)
        return redirect_to_login(self.request.get_full_path(), settings.LOGIN_URL)

    def _current_path(self) -> str:
        return self.request.htmx.current_url_abs_path or "/"


class PageView(PortalView):
    """A page that only shows: set `template_name`, extend `get_context`."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.render()


class FormAction(PortalView):
    """A form that does one thing: a dialog where a link has `data-dialog`, else a page of its own.

    Subclasses set `form_class`, `page_title`, `submit_label` and implement `perform` and `get_success_url`.
    """

    form_class: type[forms.Form]
    submit_label: str = "Save"
    explanation: str = ""
    danger: bool = False
    page_template: str = "portal/form_page.html"
    dialog_template: str = "components/_form_dialog.html"
    fields_template: str = "components/form.html"

    def get_initial(self) -> dict[str, Any]:
        return {}

    def get_form_kwargs(self) -> dict[str, Any]:
        """Further arguments of the form, such as the choices that this actor has."""
        return {}

    def build_form(self, **data: Any) -> forms.Form:
        return self.form_class(initial=self.get_initial(), **data, **self.get_form_kwargs())

    def get_explanation(self) -> str:
        """What this does, in a sentence above the form."""
        return self.explanation

    def get_consequences(self) -> list[str]:
        """What else will happen, one line each."""
        return []

    def get_success_url(self) -> str:
        raise NotImplementedError

    def perform(self, form: forms.Form) -> str | HttpResponse:
        """Call the service. Returns the message to show, or a response that takes the place of the form."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.show(self.build_form())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        form = self.build_form(data=request.POST, files=request.FILES)
        if not form.is_valid():
            return self.show(form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            result = self.perform(form)
        except (Invalid, Conflict) as error:
            add_domain_error(form, error)
            return self.show(form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        if isinstance(result, HttpResponse):
            return result
        if result:
            messages.success(request, result)
        return self.redirect(self.get_success_url())

    def show(self, form: forms.Form, *, status: int = HTTPStatus.OK) -> HttpResponse:
        context = {
            "form": form,
            "action": self.request.get_full_path(),
            "explanation": self.get_explanation(),
            "consequences": self.get_consequences(),
            "submit_label": self.submit_label,
            "danger": self.danger,
            "fields_template": self.fields_template,
            "cancel_url": self.get_success_url(),
        }
        if self.wants_part:
            return self.render_part(self.dialog_template, context, status=status)
        return self.render(self.page_template, context, status=status)


class SelectionAction(FormAction):
    """A form about the rows that a person chose in a table; the `url` of a `BulkAction`.

    The table posts the rows' keys with `open`, which draws the form; the form carries them along and posts them again.
    `selected` are those keys as they came: look them up within `visible_to(self.actor)`.
    """

    @cached_property
    def selected(self) -> list[str]:
        """Each key once, in the order of the table. Raises `Invalid` for more than a page can hold."""
        keys = list(dict.fromkeys(key for key in self.request.POST.getlist("selected") if key))
        if len(keys) > MAX_SELECTED:
            raise Invalid(f"At most {MAX_SELECTED} rows are changed at once.", code="TOO_MANY", where="selected")
        return keys

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Its address alone says nothing of rows: back to the table."""
        return self.redirect(self.get_success_url())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.selected:
            messages.warning(request, "Choose one or more rows first.")
            return self.redirect(self.get_success_url())
        if "open" in request.POST:
            return self.show(self.build_form())
        return super().post(request, *args, **kwargs)

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "selected": self.selected}


class ConfirmAction(FormAction):
    """The one way to ask before something that cannot be undone. GET asks, POST does it."""

    form_class = ConfirmForm
    submit_label = "Confirm"
    danger = True
