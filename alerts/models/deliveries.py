"""Messages: what must be sent is a row, and so is everything that happened to it."""

from django.db import models

from accounts.models import SmartAccount, User, VirtualAccount
from alerts.models.alerts import Alert
from alerts.querysets import DeliveryQuerySet, SummaryEntryQuerySet
from alerts.states import Channel, DeliveryState

_STATES = [(state.value, state.label) for state in DeliveryState]


class Delivery(models.Model):
    """One message to one recipient: exactly one per cause, recipient and channel, with a Message-ID that never changes.

    `alert` is null for a daily summary, which may span Smart Accounts (`SummaryEntry` says what is in it).
    `attempts` counts conversations begun, `doubts` those whose outcome nobody knows. `next_attempt_at` is null once
    nothing will be done any more.
    """

    cause = models.CharField(max_length=200)
    recipient = models.CharField(max_length=320)
    channel = models.CharField(max_length=12, choices=[(channel.value, channel.label) for channel in Channel])
    alert = models.ForeignKey(Alert, null=True, on_delete=models.PROTECT, related_name="deliveries")
    smart_account = models.ForeignKey(SmartAccount, null=True, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    address = models.EmailField(max_length=254, blank=True)
    message_id = models.CharField(max_length=320, unique=True)
    state = models.CharField(max_length=12, default=DeliveryState.PENDING, choices=_STATES)
    attempts = models.PositiveSmallIntegerField(default=0)
    doubts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cause", "recipient", "channel"], name="delivery_once"),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, address="")
                | models.Q(user__isnull=True) & ~models.Q(address=""),
                name="delivery_to_user_or_address",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(next_attempt_at__isnull=False), name="delivery_due"
            ),
            models.Index(
                fields=["claimed_at"], condition=models.Q(state=DeliveryState.SENDING.value), name="delivery_sending"
            ),
            models.Index(fields=["smart_account", "-id"], name="delivery_of_smart_account"),
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def stands(self) -> DeliveryState:
        return DeliveryState(self.state)

    @property
    def to(self) -> str:
        """The address as it is today: a user's may have changed since the message was planned."""
        return self.user.email if self.user is not None else self.address


class DeliveryMove(models.Model):
    """A delivery's state changed."""

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="moves")
    old = models.CharField(max_length=12, choices=_STATES)
    new = models.CharField(max_length=12, choices=_STATES)
    at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class SummaryEntry(models.Model):
    """Something a recipient is to be told of in the next daily summary; `delivery` is the one that took it."""

    cause = models.CharField(max_length=200)
    recipient = models.CharField(max_length=320)
    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="+")
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    address = models.EmailField(max_length=254, blank=True)
    created_at = models.DateTimeField()
    delivery = models.ForeignKey(Delivery, null=True, on_delete=models.PROTECT, related_name="entries")

    objects = SummaryEntryQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cause", "recipient"], name="summary_entry_once")]
        indexes = [
            models.Index(fields=["recipient"], condition=models.Q(delivery__isnull=True), name="summary_entry_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.cause} {self.recipient}"
