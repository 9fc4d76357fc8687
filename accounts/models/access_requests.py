"""Requests of signed-in users for a new Smart Account or for access to one."""

from django.db import models

from accounts.models.smart_accounts import SmartAccount
from accounts.models.users import User
from accounts.querysets import AccessRequestQuerySet
from accounts.states import RequestKind, RequestStatus


class AccessRequest(models.Model):
    """`smart_account` is empty where the account does not exist (yet). `mail_due_at` is set while a mail is owed."""

    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="access_requests")
    kind = models.CharField(max_length=20, choices=[(kind.value, kind.label) for kind in RequestKind])
    domain = models.CharField(max_length=253)
    name = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=1000, blank=True)
    smart_account = models.ForeignKey(SmartAccount, null=True, on_delete=models.PROTECT, related_name="access_requests")
    status = models.CharField(
        max_length=20,
        default=RequestStatus.PENDING,
        choices=[(status.value, status.badge.label) for status in RequestStatus],
    )
    decided_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField()
    mail_due_at = models.DateTimeField(null=True)
    mail_attempts = models.PositiveSmallIntegerField(default=0)
    notified_at = models.DateTimeField(null=True)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["requester", "domain"],
                condition=models.Q(status=RequestStatus.PENDING.value),
                name="access_request_one_pending",
            ),
        ]
        indexes = [
            models.Index(
                fields=["mail_due_at"], condition=models.Q(mail_due_at__isnull=False), name="access_request_mail_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.domain}"
