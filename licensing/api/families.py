"""The operator's calls about the hierarchy of licenses."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, ListAnswer, Page, PageQuery, StrictSerializer, Text
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.api.transfers import DryRun
from licensing.services.catalog.family_trees import read_families
from licensing.services.catalog.hierarchy_editing import set_higher
from licensing.services.pools.hierarchy_preview import Effect, preview_higher
from licensing.states import Compliance

TAG_LIMIT = 255


class MemberRow(serializers.Serializer[Any]):
    entitlementTag = serializers.CharField()
    license = serializers.CharField()
    higher = serializers.CharField(allow_null=True, help_text="The tag of the next higher license; null: none.")


class FamilyRow(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.IntegerField(help_text="0 where no license of it ever had a next higher one.")
    since = serializers.DateTimeField(allow_null=True)
    licenses = MemberRow(many=True)


class FamiliesAnswer(ListAnswer):
    families = FamilyRow(many=True)


class HigherChange(StrictSerializer):
    entitlementTag = Text(max_length=TAG_LIMIT)
    higher = Text(max_length=TAG_LIMIT, allow_null=True, allow_blank=True, help_text="The tag; null or empty for none.")


class EffectRow(serializers.Serializer[Any]):
    domain = serializers.CharField()
    virtualAccount = serializers.CharField()
    entitlementTag = serializers.CharField()
    availableBefore = serializers.IntegerField()
    availableAfter = serializers.IntegerField()
    statusBefore = serializers.ChoiceField(choices=[status.label for status in Compliance])
    statusAfter = serializers.ChoiceField(choices=[status.label for status in Compliance])


class HigherAnswer(Answer):
    changed = serializers.BooleanField(help_text="False where it was like this already, and for a dry run.")
    poolsConcerned = serializers.IntegerField()
    effects = EffectRow(many=True, help_text="The pools whose balance changes; empty where too many are concerned.")


class FamiliesView(AccountApiView):
    permission = Permission.OPERATE

    @reads("listFamilies", "License families with their hierarchy", FamiliesAnswer, query=PageQuery, tag="operator")
    def get(self, request: Request) -> Response:
        page = Page(**self.read_query(PageQuery))
        return self.success_page("families", read_families().order_by("name", "pk"), page, self.show)

    def show(self, family: Any) -> dict[str, Any]:
        """`family` is one of `read_families`."""
        return {
            "name": family.name,
            "version": family.version or 0,
            "since": show_moment(family.since),
            "licenses": [
                {
                    "entitlementTag": member.tag,
                    "license": member.display_name,
                    "higher": member.higher.tag if member.higher else None,
                }
                for member in family.licenses.all()
            ],
        }


class HigherView(AccountApiView):
    permission = Permission.OPERATE

    @changes(
        "setHigherLicense",
        "Set or clear the next higher license of a license; pools follow within seconds",
        HigherAnswer,
        body=HigherChange,
        query=DryRun,
        tag="operator",
    )
    def post(self, request: Request) -> Response:
        is_dry_run = self.read_query(DryRun)["dry_run"]
        wanted = self.read_body(HigherChange)
        change = {"tag": wanted["entitlementTag"], "higher": wanted["higher"] or ""}
        preview = preview_higher(actor=self.actor, **change, now=self.now)
        changed = False if is_dry_run else set_higher(actor=self.actor, **change, now=self.now)
        return self.success(
            changed=changed, poolsConcerned=preview.pools, effects=[self.show(effect) for effect in preview.effects]
        )

    def show(self, effect: Effect) -> dict[str, Any]:
        account = effect.pool.virtual_account
        return {
            "domain": account.smart_account.domain,
            "virtualAccount": account.name,
            "entitlementTag": effect.pool.license.tag,
            "availableBefore": effect.balance_before,
            "availableAfter": effect.balance_after,
            "statusBefore": effect.before.label,
            "statusAfter": effect.after.label,
        }
