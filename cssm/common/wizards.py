"""A form in steps, for what cannot be asked at once. Answers are kept in the session until the last step.

    class Reserve(VirtualAccountView, WizardView):
        permission = Permission.MANAGE_ASSETS
        page_title = "Reserve licenses"
        steps = (Step("code", "Request code", CodeForm), Step("licenses", "Licenses", LicensesForm))
        submit_label = "Reserve"

        def perform(self, answers: dict[str, dict[str, Any]]) -> str | HttpResponse: ...
        def get_success_url(self) -> str: ...

The last page shows what was answered, for review; only its button performs. The review names the answers it shows by a
key: it performs those and no others, were they entered anew in another window meanwhile, and `find_done` can lead a
second press of the button to what the first one did.
"""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, unquote

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.utils.encoding import escape_uri_path

from cssm.common.errors import Conflict, DomainError, Invalid
from cssm.common.forms import ConfirmForm, add_domain_error
from cssm.common.views import PortalView


class Step(NamedTuple):
    key: str
    label: str
    form_class: type[forms.Form]


class StepMark(NamedTuple):
    """A step as the stepper shows it; `state` is done, current or todo."""

    label: str
    state: str


REVIEW = Step("review", "Review", ConfirmForm)
OTHER_ANSWERS = "Other answers were entered here meanwhile, in another window. This is what would be done now."


def start_wizard(request: HttpRequest, path: str, answers: Mapping[str, Mapping[str, list[str]]]) -> None:
    """Begin the wizard at `path` anew, with steps answered already: `{step: {field: values}}`, as a form posts them."""
    place = unquote(path)
    request.session[f"wizard:{place}"] = {key: dict(values) for key, values in answers.items()}
    request.session[f"wizard-key:{place}"] = f"portal:{uuid.uuid4()}"


class WizardView(PortalView):
    """`?step=key` names the step; one whose predecessors are not answered leads to the first that is missing."""

    steps: ClassVar[tuple[Step, ...]]
    submit_label: str = "Finish"
    template_name = "portal/wizard.html"
    # What is drawn in place of a step's fields, by its key.
    body_templates: ClassVar[Mapping[str, str]] = {}
    # A field whose earlier answer gives way to a file that is chosen now; who types into it has to decide.
    replaced_by_file: ClassVar[str] = ""

    def get_success_url(self) -> str:
        raise NotImplementedError

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Further arguments of a step's form; `answers` are the cleaned answers of the steps before."""
        return {}

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        """(label, value) pairs to review."""
        return [
            (str(step.form_class.base_fields[name].label or name.replace("_", " ").capitalize()), value)
            for step in self.steps
            for name, value in answers[step.key].items()
        ]

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        """Ask a service whether to go on from the step, which is among the answers. Raises `Invalid`, `Conflict`."""

    def keep(self, step: Step, form: forms.Form) -> dict[str, list[str]]:
        """What is remembered of a step, as it could be posted again."""
        return {name: values for name, values in self.request.POST.lists() if name in form.fields}

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """What else the template can use on this step; with `blocked` the button to go on is left out."""
        return {}

    def show_refusal(self, form: forms.Form, error: DomainError) -> None:
        """Put what a service refuses where it belongs in the form."""
        add_domain_error(form, error)

    def find_done(self, key: str) -> str:
        """Where the outcome of an earlier press of the button is shown; empty where there was none."""
        return self.get_success_url() if self.request.session.get(self._done_key) == key else ""

    def perform(self, answers: dict[str, dict[str, Any]]) -> str | HttpResponse:
        """Call the service, with `self.key` where it takes one. Returns the message to show, or a response."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        wanted = request.GET.get("step", self.steps[0].key)
        answers, missing = self._answers(until=wanted)
        step = missing or self._step(wanted)
        return self._show(step, self._form(step, answers, self._stored().get(step.key), bound=False), answers)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        wanted = request.GET.get("step", self.steps[0].key)
        step, sent_key = self._step(wanted), request.POST.get("key", "")[:100]
        if step is REVIEW and sent_key and (done := self.find_done(sent_key)):
            return self.redirect(done)
        answers, missing = self._answers(until=wanted)
        if missing is not None:
            return self.redirect(self._url(missing))
        if step is REVIEW and sent_key and sent_key != self.key:
            messages.warning(request, OTHER_ANSWERS)
            return self.redirect(self._url(REVIEW))
        form = self._form(step, answers, self._posted(step), bound=True, files=request.FILES)
        if not form.is_valid():
            return self._show(step, form, answers, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            if step is not REVIEW:
                self.check(step, {**answers, step.key: form.cleaned_data})
                start_wizard(request, quote(request.path), {**self._stored(), step.key: self.keep(step, form)})
                return self.redirect(self._url(self._after(step)))
            result = self.perform(answers)
        except (Invalid, Conflict) as error:
            self.show_refusal(form, error)
            return self._show(step, form, answers, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        request.session.pop(self._session_key, None)
        request.session[self._done_key] = sent_key
        if isinstance(result, HttpResponse):
            return result
        messages.success(request, result)
        return self.redirect(self.get_success_url())

    @property
    def key(self) -> str:
        """Names the answers as they are now; at most 100 characters."""
        return str(self.request.session.get(f"wizard-key:{self.request.path}", ""))

    @property
    def _session_key(self) -> str:
        return f"wizard:{self.request.path}"

    @property
    def _done_key(self) -> str:
        return f"wizard-done:{self.request.path}"

    def _stored(self) -> dict[str, dict[str, list[str]]]:
        stored: dict[str, dict[str, list[str]]] = self.request.session.get(self._session_key, {})
        return stored

    def _posted(self, step: Step) -> dict[str, list[str]]:
        posted = dict(self.request.POST.lists())
        name = self.replaced_by_file
        if self.request.FILES and name in posted:
            shown = [text.splitlines() for text in self._stored().get(step.key, {}).get(name, [])]
            if [text.splitlines() for text in posted[name]] == shown:
                posted[name] = [""]
        return posted

    def _step(self, key: str) -> Step:
        return next((step for step in (*self.steps, REVIEW) if step.key == key), self.steps[0])

    def _after(self, step: Step) -> Step:
        return (*self.steps, REVIEW)[self.steps.index(step) + 1]

    def _url(self, step: Step) -> str:
        return f"{escape_uri_path(self.request.path)}?step={step.key}"

    def _answers(self, *, until: str) -> tuple[dict[str, dict[str, Any]], Step | None]:
        """The cleaned answers of the steps before, checked anew, and the first step that lacks a valid one."""
        answers: dict[str, dict[str, Any]] = {}
        for step in self.steps:
            if step.key == self._step(until).key:
                break
            form = self._form(step, answers, self._stored().get(step.key, {}), bound=True)
            if not form.is_valid():
                return answers, step
            answers[step.key] = form.cleaned_data
        return answers, None

    def _form(
        self,
        step: Step,
        answers: dict[str, dict[str, Any]],
        values: dict[str, list[str]] | None,
        *,
        bound: bool,
        files: Any = None,
    ) -> forms.Form:
        # A step answered before is shown with its answers, but not complained about.
        data = MultiValueDict(values) if values is not None else None
        return step.form_class(data=data if bound or data else None, files=files, **self.get_form_kwargs(step, answers))

    def _show(
        self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]], *, status: int = HTTPStatus.OK
    ) -> HttpResponse:
        everything = (*self.steps, REVIEW)
        position = everything.index(step)
        marks = [
            StepMark(each.label, "done" if index < position else "current" if index == position else "todo")
            for index, each in enumerate(everything)
        ]
        context = {
            "form": form,
            "steps": marks,
            "facts": self.get_summary(answers) if step is REVIEW else [],
            "action": self._url(step),
            "back_url": self._url(everything[position - 1]) if position else "",
            "cancel_url": self.get_success_url(),
            "submit_label": self.submit_label if step is REVIEW else "Continue",
            "key": self.key if step is REVIEW else "",
            "body_template": self.body_templates.get(step.key, "components/form.html"),
            **self.get_step_context(step, form, answers),
        }
        return self.render(context=context, status=status)
