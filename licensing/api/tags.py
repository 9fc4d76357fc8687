"""The words with which people sort Virtual Accounts, licenses and product instances, and what is found by them."""

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.models import AccountTag, VirtualAccount
from accounts.services.tags import (
    NAME_LIMIT,
    change_virtual_account_tags,
    create_tag,
    delete_tag,
    find_tags,
    rename_tag,
)
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import Answer, ListAnswer, PageQuery, StrictSerializer, Text
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.models import Pool, ProductInstance
from licensing.services.devices.search import MAX_TEXT, Findings, Group, search_account
from licensing.services.devices.tags import read_tags, tag_instances, tag_pools

MOST: Final = 500

Shape = serializers.Serializer[Any]


class TagName(StrictSerializer):
    name = Text(max_length=NAME_LIMIT)


class NewTagName(TagName):
    newName = Text(max_length=NAME_LIMIT)


class LicensePlace(StrictSerializer):
    virtualAccount = Text(max_length=120)
    entitlementTag = Text(max_length=255)


def _names(limit: int) -> Any:
    return serializers.ListField(child=Text(max_length=limit), required=False, default=list, max_length=MOST)


class Assignment(StrictSerializer):
    virtualAccounts = _names(120)
    licenses = serializers.ListField(child=LicensePlace(), required=False, default=list, max_length=MOST)
    productInstances = serializers.ListField(
        child=serializers.UUIDField(), required=False, default=list, max_length=MOST, help_text="PIIDs"
    )
    add = _names(NAME_LIMIT)
    remove = _names(NAME_LIMIT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["add"] and not attrs["remove"]:
            raise serializers.ValidationError({"add": ["Name the tags to add or to remove."]})
        return attrs


class TagRow(Shape):
    name = serializers.CharField()
    virtualAccounts = serializers.IntegerField(help_text="How many that the caller may see have it.")
    licenses = serializers.IntegerField()
    productInstances = serializers.IntegerField()


class TagsAnswer(ListAnswer):
    tags = TagRow(many=True)


class TagAnswer(Answer):
    name = serializers.CharField()


class AssignmentAnswer(Answer):
    changed = serializers.IntegerField(help_text="How many things have other tags than before.")


class SearchQuery(PageQuery):
    q = serializers.CharField(max_length=MAX_TEXT, help_text="Every word stands in the name, the tag or the UDI.")


class FoundRow(Shape):
    kind = serializers.ChoiceField(choices=["virtualAccount", "license", "productInstance"])
    name = serializers.CharField()
    virtualAccount = serializers.CharField()
    identifier = serializers.CharField(help_text="Entitlement tag or PIID; of a Virtual Account its name.")
    tags = serializers.ListField(child=serializers.CharField())


class SearchAnswer(Answer):
    found = FoundRow(many=True, help_text="Up to `limit` of each kind.")
    hasMore = serializers.BooleanField()


class TagsView(AccountApiView):
    permission = Permission.VIEW
    post_permission = Permission.MANAGE_ASSETS

    @reads("listTags", "The tags of an account and how often each is used", TagsAnswer, query=PageQuery)
    def get(self, request: Request, domain: str) -> Response:
        rows = read_tags(actor=self.actor, smart_account=self.smart_account).order_by("name", "pk")
        return self.success_page("tags", rows, self.read_page(), show_tag)

    @changes("createTag", "Make a tag", TagAnswer, body=TagName)
    def post(self, request: Request, domain: str) -> Response:
        name = self.read_body(TagName)["name"]
        tag = create_tag(actor=self.actor, smart_account=self.smart_account, name=name, now=self.now)
        return self.success(name=tag.name)


class NamedTagView(AccountApiView):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS

    def find(self, name: str) -> AccountTag:
        return find_tags(actor=self.actor, smart_account=self.smart_account, names=[name])[0]


class TagRenamingView(NamedTagView):
    @changes("renameTag", "Write a tag differently, everywhere it is", TagAnswer, body=NewTagName)
    def post(self, request: Request, domain: str) -> Response:
        body = self.read_body(NewTagName)
        tag = rename_tag(actor=self.actor, tag=self.find(body["name"]), name=body["newName"], now=self.now)
        return self.success(name=tag.name)


class TagDeletionView(NamedTagView):
    @changes("deleteTag", "Take a tag off everything, and out of the account", TagAnswer, body=TagName)
    def post(self, request: Request, domain: str) -> Response:
        tag = self.find(self.read_body(TagName)["name"])
        delete_tag(actor=self.actor, tag=tag, now=self.now)
        return self.success(name=tag.name)


class TagAssignmentView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @changes(
        "assignTags",
        "Add and remove tags of Virtual Accounts, licenses and product instances, all or none",
        AssignmentAnswer,
        body=Assignment,
    )
    def post(self, request: Request, domain: str) -> Response:
        body = self.read_body(Assignment)
        common: dict[str, Any] = {
            "actor": self.actor,
            "smart_account": self.smart_account,
            "add": body["add"],
            "remove": body["remove"],
            "now": self.now,
        }
        accounts = [self.find_virtual_account(name) for name in dict.fromkeys(body["virtualAccounts"])]
        pools = [self.find_pool(place) for place in body["licenses"]]
        instances = [self.find_instance(piid) for piid in dict.fromkeys(body["productInstances"])]
        with transaction.atomic():
            changed = change_virtual_account_tags(virtual_accounts=accounts, **common) if accounts else 0
            changed += tag_pools(pools=pools, **common) if pools else 0
            changed += tag_instances(instances=instances, **common) if instances else 0
        return self.success(changed=changed)

    def find_pool(self, place: dict[str, str]) -> Pool:
        virtual_account = self.find_virtual_account(place["virtualAccount"])
        pools = Pool.objects.visible_to(self.actor).select_related("license")
        found = pools.filter(virtual_account=virtual_account, license__tag=place["entitlementTag"]).first()
        if found is None:
            raise NotFound("There is no license of this tag in the Virtual Account.", where="licenses")
        return found

    def find_instance(self, piid: UUID) -> ProductInstance:
        own = ProductInstance.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        found = own.filter(piid=piid).first()
        if found is None:
            raise NotFound("There is no such product instance.", where="productInstances")
        return found


class SearchView(AccountApiView):
    permission = Permission.VIEW

    @reads("search", "Virtual Accounts, licenses and product instances by name or tag", SearchAnswer, query=SearchQuery)
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(SearchQuery)
        groups = search_account(
            actor=self.actor,
            smart_account=self.smart_account,
            text=query["q"],
            limit=query["limit"],
            offset=query["offset"],
        )
        found = [show_found(row, group) for group in groups for row in group.rows]
        return self.success(found=found, hasMore=any(group.has_more for group in groups))


def show_tag(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "virtualAccounts": row.virtual_account_uses,
        "licenses": row.license_uses,
        "productInstances": row.instance_uses,
    }


def show_found(row: Any, group: Findings) -> dict[str, Any]:
    tags = group.tags.get(row.pk, [])
    if isinstance(row, VirtualAccount):
        return {
            "kind": "virtualAccount",
            "name": row.name,
            "virtualAccount": row.name,
            "identifier": row.name,
            "tags": tags,
        }
    is_license = group.group is Group.LICENSES
    return {
        "kind": "license" if is_license else "productInstance",
        "name": row.license.display_name if is_license else row.hostname or row.udi,
        "virtualAccount": row.virtual_account.name,
        "identifier": row.license.tag if is_license else str(row.piid),
        "tags": tags,
    }
