"""Who wants to be told of what."""

from django.db import models

from accounts.models import SmartAccount, User, VirtualAccount
from alerts.querysets import SubscriptionQuerySet
from alerts.states import AlertType, Frequency


class Subscription(models.Model):
    """One choice of one recipient: a user, or an address in the Smart Account's own domain.

    Without a row nothing is sent. A row on a Virtual Account overrides the one on its whole Smart Account.
    `recipient` names the recipient in one column (`alerts.services.recipients`), so that it can be made unique.
    """

    recipient = models.CharField(max_length=320)
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    address = models.EmailField(max_length=254, blank=True)
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")
    alert_type = models.CharField(max_length=60, choices=[(kind.value, kind.label) for kind in AlertType])
    frequency = models.CharField(max_length=12, choices=[(choice.value, choice.label) for choice in Frequency])
    changed_at = models.DateTimeField()

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, address="")
                | models.Q(user__isnull=True) & ~models.Q(address=""),
                name="subscription_of_user_or_address",
            ),
            models.UniqueConstraint(
                fields=["smart_account", "alert_type", "recipient"],
                condition=models.Q(virtual_account__isnull=True),
                name="subscription_once_on_smart_account",
            ),
            models.UniqueConstraint(
                fields=["virtual_account", "alert_type", "recipient"],
                condition=models.Q(virtual_account__isnull=False),
                name="subscription_once_on_virtual_account",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} {self.alert_type} {self.frequency}"
