"""Tags that people of a Smart Account put on Virtual Accounts, licenses and product instances to find them again."""

from django.db import models
from django.db.models.functions import Lower

from accounts.models.smart_accounts import SmartAccount
from accounts.querysets import AccountTagQuerySet


class AccountTag(models.Model):
    """A word of one Smart Account. No entitlement or software tag: those are ISO 19770's and name things for all."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="tags")
    name = models.CharField(max_length=60)
    created_at = models.DateTimeField()

    objects = AccountTagQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("smart_account", Lower("name"), name="account_tag_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
