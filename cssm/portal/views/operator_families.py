"""The hierarchy of licenses: which stands in for which, since when, and changing it."""

from typing import Any, Final

from django import forms
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.functional import cached_property

from cssm.common.errors import NotFound
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.views import Crumb, PageView
from cssm.common.wizards import REVIEW, Step, WizardView
from cssm.portal.family_tables import FamilyTable
from cssm.portal.forms import HigherForm
from cssm.portal.views.operator import OperatorView
from licensing.models import License, LicenseChange, LicenseFamily, PoolUnit
from licensing.services.catalog.family_trees import grow_tree, read_families, read_versions
from licensing.services.catalog.hierarchy_editing import set_higher
from licensing.services.pools.hierarchy_preview import preview_higher

MOST_CHOICES: Final = 500
SHOWN_ROWS: Final = 100
ALL: Final = "all"


class FamilyFilter(TableFilter):
    search_fields = ("name",)
    kind = ChoiceFilter(
        label="Families", method="of_kind", choices=[(ALL, "All, also of one license")], empty_label="With a hierarchy"
    )

    @property
    def qs(self) -> QuerySet[LicenseFamily]:
        """A search finds families of one license too: that is where a hierarchy begins."""
        rows: Any = super().qs
        wanted: QuerySet[LicenseFamily] = (
            rows if self.data.get("kind") or self.data.get("q") else rows.filter(license_count__gt=1)
        )
        return wanted

    def of_kind(self, queryset: QuerySet[LicenseFamily], name: str, value: str) -> QuerySet[LicenseFamily]:
        return queryset

    def match(self, word: str) -> Q:
        found = License.objects.filter(Q(display_name__icontains=word) | Q(tag__icontains=word)).values("family")
        return Q(pk__in=found)


class Families(OperatorView, TableView):
    page_title = "Operator area"
    table_class = FamilyTable
    filter_class = FamilyFilter
    template_name = "portal/operator_table.html"

    def get_queryset(self) -> QuerySet[LicenseFamily]:
        return read_families()


class Family(OperatorView, PageView):
    template_name = "portal/operator_family.html"

    @cached_property
    def family(self) -> LicenseFamily:
        found = LicenseFamily.objects.filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such family.")
        return found

    def get_page_title(self) -> str:
        return f"Family {self.family.name}"

    def get_crumbs(self) -> list[Crumb]:
        return [Crumb("Operator area", reverse("operator")), Crumb("Hierarchy", reverse("operator-families"))]

    def get_context(self) -> dict[str, Any]:
        versions = read_versions(self.family)
        units = PoolUnit.objects.filter(family=self.family)
        newest = versions[0].number if versions else None
        following = units.filter(hierarchy__number=newest) if newest else units.filter(hierarchy=None)
        changes = LicenseChange.objects.filter(license__family=self.family)
        return {
            **super().get_context(),
            "nodes": grow_tree(self.family.licenses.all()),
            "versions": versions,
            "units": units.count(),
            "following": following.count(),
            "is_pending": changes.exists(),
        }


class ChangeHigher(OperatorView, WizardView):
    """Choose the next higher license, look at which Virtual Accounts it changes, and set it."""

    steps = (Step("higher", "Next higher license", HigherForm),)
    body_templates = {"review": "portal/_hierarchy_review.html"}
    submit_label = "Change the hierarchy"

    @cached_property
    def license(self) -> License:
        found = License.objects.select_related("higher", "family").filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise NotFound("There is no such license.")
        return found

    def get_page_title(self) -> str:
        return f"Hierarchy of {self.license.display_name}"

    def get_crumbs(self) -> list[Crumb]:
        return [
            Crumb("Operator area", reverse("operator")),
            Crumb("Hierarchy", reverse("operator-families")),
            Crumb(self.license.family.name, self.get_success_url()),
        ]

    def get_success_url(self) -> str:
        return reverse(
            "operator-family", args=[License.objects.values_list("family", flat=True).get(pk=self.license.pk)]
        )

    def get_form_kwargs(self, step: Step, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step is REVIEW:
            return {}
        others = License.objects.exclude(pk=self.license.pk).order_by("display_name", "tag")
        few = others.count() <= MOST_CHOICES
        present = self.license.higher.tag if self.license.higher else ""
        return {
            "licenses": list(others.values_list("tag", "display_name")) if few else (),
            "initial": {"higher": present},
        }

    def check(self, step: Step, answers: dict[str, dict[str, Any]]) -> None:
        self._preview(answers)

    def get_summary(self, answers: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        wanted = License.objects.filter(tag=answers["higher"]["higher"]).first()
        return [
            ("License", f"{self.license.display_name} ({self.license.tag})"),
            ("Next higher license now", self.license.higher or "none"),
            ("Next higher license then", wanted or "none"),
        ]

    def get_step_context(self, step: Step, form: forms.Form, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if step is not REVIEW:
            return {}
        preview = self._preview(answers)
        present = self.license.higher.tag if self.license.higher else ""
        accounts = {effect.pool.virtual_account_id for effect in preview.effects if effect.changes_compliance}
        rows = [(effect, effect.before.badge, effect.after.badge) for effect in preview.effects[:SHOWN_ROWS]]
        return {
            "wide": True,
            "blocked": present == answers["higher"]["higher"],
            "preview": preview,
            "rows": rows,
            "more": max(0, len(preview.effects) - SHOWN_ROWS),
            "account_count": len(accounts),
        }

    def perform(self, answers: dict[str, dict[str, Any]]) -> str:
        if set_higher(actor=self.actor, tag=self.license.tag, higher=answers["higher"]["higher"], now=self.now):
            return "The hierarchy was changed. Virtual Accounts follow one after the other, within seconds."
        return "The hierarchy is like this already: there was nothing more to change."

    def _preview(self, answers: dict[str, dict[str, Any]]) -> Any:
        return preview_higher(actor=self.actor, tag=self.license.tag, higher=answers["higher"]["higher"], now=self.now)
