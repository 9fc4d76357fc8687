"""Virtual Accounts: sub-divisions of a Smart Account that hold pools, tokens and product instances."""

import uuid

from django.db import models
from django.db.models.functions import Lower

from accounts.models.smart_accounts import SmartAccount
from accounts.models.tags import AccountTag
from accounts.querysets import VirtualAccountQuerySet
from accounts.states import AccessLevel


class VirtualAccount(models.Model):
    """`uuid` stands in every ID token of the Virtual Account. A deleted one keeps its row, for the records name it."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="virtual_accounts")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True)
    access_level = models.CharField(
        max_length=10, default=AccessLevel.PUBLIC, choices=[(level.value, level.value) for level in AccessLevel]
    )
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)
    tags = models.ManyToManyField(AccountTag, blank=True, related_name="virtual_accounts")

    objects = VirtualAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "smart_account",
                Lower("name"),
                condition=models.Q(deleted_at__isnull=True),
                name="virtual_account_name_unique",
            ),
            models.UniqueConstraint(
                fields=["smart_account"], condition=models.Q(is_default=True), name="virtual_account_one_default"
            ),
            models.CheckConstraint(
                condition=~models.Q(is_default=True, deleted_at__isnull=False), name="virtual_account_default_lives"
            ),
        ]

    def __str__(self) -> str:
        return self.name
