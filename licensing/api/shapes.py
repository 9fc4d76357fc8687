"""Shapes that several calls of licensing share."""

from typing import Any

from rest_framework import serializers

from accounts.services.virtual_accounts import NAME_LIMIT
from cssm.common.api.fields import Answer, PageBody, StrictSerializer, Text

MAX_NAMED_VIRTUAL_ACCOUNTS = 1000


class VirtualAccountsPage(PageBody):
    """Which Virtual Accounts, none named meaning all that the caller may see; and which page."""

    virtualAccounts = serializers.ListField(
        child=Text(max_length=NAME_LIMIT), required=False, default=list, max_length=MAX_NAMED_VIRTUAL_ACCOUNTS
    )


class Sudi(StrictSerializer):
    """What identifies a product: PID and serial number, or the uuid of software."""

    udiPid = Text(required=False, allow_null=True, allow_blank=True, max_length=128)
    udiSerialNumber = Text(required=False, allow_null=True, allow_blank=True, max_length=128)
    udiVid = Text(required=False, allow_null=True, allow_blank=True, max_length=64)
    uuid = Text(required=False, allow_null=True, allow_blank=True, max_length=64)
    suvi = Text(required=False, allow_null=True, allow_blank=True, max_length=255)
    hostIdentifier = Text(required=False, allow_null=True, allow_blank=True, max_length=255)
    macAddress = Text(required=False, allow_null=True, allow_blank=True, max_length=64)


class ResultRow(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["SUCCESS", "ERROR"])
    statusMessage = serializers.CharField()


class TokenResultRow(ResultRow):
    token = serializers.CharField()


class TokenResultsAnswer(Answer):
    results = TokenResultRow(many=True)


class DeviceResultRow(ResultRow):
    sudi = Sudi()


class DeviceResultsAnswer(Answer):
    results = DeviceResultRow(many=True)
