"""What can be told of a code while it is typed: a part of the page, which htmx asks for."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from cssm.common.errors import DomainError
from cssm.common.views import FormAction, PortalView
from licensing.codecs.request_code import Part
from licensing.forms.reservations import CHECK_ID

PARTS: Final[Mapping[str, str]] = {
    Part.VERSION: "Version (first letter)",
    Part.SEQUENCE: "Sequence (second letter)",
    Part.SEPARATOR: "-Z after the first two letters",
    Part.UDI: "Product ID and serial number",
    Part.SOFTWARE: "Software (after -A)",
    Part.CHECK: "Check digits (the last two)",
}


def answer_check(view: PortalView, typed: str, check: Callable[[str], dict[str, Any]]) -> HttpResponse:
    """What `check` knows of the code, as the part takes it; or what it refuses."""
    context: dict[str, Any] = {}
    if typed.strip():
        try:
            context = check(typed)
        except DomainError as error:
            context = {"wrong_part": PARTS.get(error.details.get("part", ""), ""), "error": error}
    return view.render_part("licensing/_code_check.html", context)


class ChecksCode(FormAction):
    """A form with a code of the product, of which is told while it is typed whether it will do.

    Subclasses implement `check(typed)`, which changes nothing: it returns the `verdict` in a sentence and whatever else
    the part takes, or raises what sending would raise. The form is a `TypedCodeForm`.
    """

    fields_template = "licensing/_code_fields.html"

    def check(self, typed: str) -> dict[str, Any]:
        raise NotImplementedError

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "check_url": self.request.path}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.wants_part and request.htmx.target == CHECK_ID:  # type: ignore[attr-defined]  # by its middleware
            return answer_check(self, request.POST.get(self.form_class.code_field, ""), self.check)  # type: ignore[attr-defined]  # a TypedCodeForm
        return super().post(request, *args, **kwargs)
