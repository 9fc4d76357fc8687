"""Shapes of the calls about accounts: what comes in, and what the description says goes out."""

from typing import Any

from rest_framework import serializers

from accounts.states import AccessLevel, AccountType, ExportStatus
from cssm.common.api.fields import Answer, CaselessChoice, ListAnswer, PageQuery, StrictSerializer, Text
from cssm.common.permissions import Role

ACCESS_LEVELS = [level.value for level in AccessLevel]
ROLES = [role.value for role in Role]


class AccountSearchQuery(PageQuery):
    domain = serializers.CharField(required=False, max_length=253, help_text="Part of the domain.")
    type = CaselessChoice(required=False, choices=[kind.value for kind in AccountType])


class EventQuery(PageQuery):
    name = serializers.CharField(required=False, max_length=60, help_text="An event's dotted name.")
    subjectType = serializers.CharField(required=False, max_length=40)
    subjectId = serializers.CharField(required=False, max_length=64)
    user = serializers.CharField(required=False, max_length=254, help_text="Who did it, as the answer names them.")
    q = serializers.CharField(
        required=False, max_length=200, help_text="Words that stand in the event: a license, a product, a name."
    )
    startDate = serializers.DateTimeField(required=False)
    endDate = serializers.DateTimeField(required=False, help_text="Events of before this moment.")


class NewVirtualAccount(StrictSerializer):
    name = Text(max_length=120)
    description = Text(max_length=500, required=False, allow_blank=True, default="")
    commerceAccessLevel = CaselessChoice(choices=ACCESS_LEVELS, required=False, default=AccessLevel.PUBLIC.value)


class VirtualAccountChange(StrictSerializer):
    """What is left out stays as it is."""

    name = Text(max_length=120, required=False)
    description = Text(max_length=500, required=False, allow_blank=True)
    commerceAccessLevel = CaselessChoice(choices=ACCESS_LEVELS, required=False)


class MemberRequest(StrictSerializer):
    email = Text(max_length=254)
    role = CaselessChoice(choices=ROLES)
    virtualAccount = Text(max_length=120, required=False, help_text="For the VA roles.")


class NewMember(MemberRequest):
    name = Text(max_length=150, required=False, allow_blank=True, default="")


class RoleChange(MemberRequest):
    newRole = CaselessChoice(choices=ROLES)


class Approval(StrictSerializer):
    role = CaselessChoice(choices=ROLES)
    virtualAccount = Text(max_length=120, required=False, help_text="For the VA roles.")


class Refusal(StrictSerializer):
    reason = Text(max_length=1000, help_text="The requester reads it.")


class AccountFlags(StrictSerializer):
    slr = serializers.BooleanField(required=False)
    plr = serializers.BooleanField(required=False)
    exportStatus = CaselessChoice(choices=[status.value for status in ExportStatus], required=False)


class RoleRow(serializers.Serializer[Any]):
    role = serializers.CharField()
    virtualAccount = serializers.CharField(required=False)


class AccountRow(serializers.Serializer[Any]):
    accountDomain = serializers.CharField()
    accountName = serializers.CharField()
    accountStatus = serializers.CharField()
    accountType = serializers.CharField()
    roles = RoleRow(many=True)


class AccountsAnswer(ListAnswer):
    accounts = AccountRow(many=True)


class FoundAccountRow(serializers.Serializer[Any]):
    domain = serializers.CharField()
    name = serializers.CharField()
    id = serializers.CharField()
    type = serializers.CharField()
    status = serializers.CharField()


class AccountSearchAnswer(ListAnswer):
    accounts = FoundAccountRow(many=True)


class AccountTreeVirtualAccount(serializers.Serializer[Any]):
    default = serializers.BooleanField()
    name = serializers.CharField()
    virtual_account_id = serializers.CharField()


class AccountTreeRow(serializers.Serializer[Any]):
    account_id = serializers.CharField()
    domain = serializers.CharField()
    name = serializers.CharField()
    virtual_accounts = AccountTreeVirtualAccount(many=True)


class AccountTreeAnswer(serializers.Serializer[Any]):
    message_code = serializers.CharField()
    accounts = AccountTreeRow(many=True)
    message = serializers.CharField()
    status = serializers.ChoiceField(choices=["COMPLETE"])


class VirtualAccountRow(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    isDefault = serializers.ChoiceField(choices=["true", "false"])
    commerceAccessLevel = serializers.ChoiceField(choices=ACCESS_LEVELS)


class VirtualAccountsAnswer(ListAnswer):
    virtualAccounts = VirtualAccountRow(many=True)


class VirtualAccountAnswer(Answer):
    virtualAccount = VirtualAccountRow()


class UserRow(serializers.Serializer[Any]):
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    virtualAccount = serializers.CharField(allow_null=True)


class UsersAnswer(ListAnswer):
    users = UserRow(many=True)


class UserAnswer(Answer):
    user = UserRow()


class AccessRequestRow(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    domain = serializers.CharField()
    requester = serializers.CharField()
    note = serializers.CharField()
    status = serializers.CharField()
    reason = serializers.CharField()
    createdAt = serializers.DateTimeField()


class AccessRequestsAnswer(ListAnswer):
    accessRequests = AccessRequestRow(many=True)


class AccessRequestAnswer(Answer):
    accessRequest = AccessRequestRow()


class EventRow(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    name = serializers.CharField()
    message = serializers.CharField()
    user = serializers.CharField()
    virtualAccount = serializers.CharField(allow_null=True)
    subjectType = serializers.CharField()
    subjectId = serializers.CharField()


class EventsAnswer(ListAnswer):
    events = EventRow(many=True)


class FlagsAnswer(Answer):
    domain = serializers.CharField()
    slr = serializers.BooleanField()
    plr = serializers.BooleanField()
    exportStatus = serializers.ChoiceField(choices=[status.value for status in ExportStatus])
