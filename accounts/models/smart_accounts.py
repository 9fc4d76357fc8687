"""Smart Accounts: a customer's container of everything."""

import uuid

from django.db import models
from django.db.models.functions import Lower

from accounts.models.users import User
from accounts.querysets import SmartAccountQuerySet
from accounts.states import AccountStatus, AccountType, ExportStatus


class SmartAccount(models.Model):
    """`slr_enabled`, `plr_enabled` and `export_status` are flags that only the operator sets."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    domain = models.CharField(max_length=253, unique=True)
    name = models.CharField(max_length=200)
    account_type = models.CharField(
        max_length=20, default=AccountType.CUSTOMER, choices=[(kind.value, kind.value) for kind in AccountType]
    )
    status = models.CharField(
        max_length=20, default=AccountStatus.ACTIVE, choices=[(status.value, status.value) for status in AccountStatus]
    )
    slr_enabled = models.BooleanField(default=True)
    plr_enabled = models.BooleanField(default=False)
    export_status = models.CharField(
        max_length=20, default=ExportStatus.ALLOWED, choices=[(status.value, status.value) for status in ExportStatus]
    )
    created_at = models.DateTimeField()
    agreement_accepted_at = models.DateTimeField(null=True)
    agreement_accepted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = SmartAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(domain=Lower("domain")), name="smart_account_domain_lower_case"),
        ]

    def __str__(self) -> str:
        return self.domain

    @property
    def is_export_restricted(self) -> bool:
        return self.export_status == ExportStatus.RESTRICTED
