"""What is owned, as records that are only ever added to: what came in, what left, and which line each unit is from.

Triggers in the database refuse to change or delete a row of these tables (`cssm.common.triggers`).
"""

from datetime import datetime

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from licensing.models.catalog import License
from licensing.querysets.ownership import (
    AllocationQuerySet,
    OrderQuerySet,
    OwnershipRecordQuerySet,
    PurchaseLineQuerySet,
    TermNoticeQuerySet,
)
from licensing.states import LicenseType, LineSource, LineState, RecordKind


class Order(models.Model):
    """An order as delivered; `order_ref` makes a second delivery of it change nothing.

    Who delivered it is in the record that its lines hang on.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    order_ref = models.CharField(max_length=100, unique=True)
    content_digest = models.CharField(max_length=64)
    delivered_at = models.DateTimeField()

    objects = OrderQuerySet.as_manager()

    def __str__(self) -> str:
        return self.order_ref


class OwnershipRecord(models.Model):
    """One change of what is owned: a delivery, termination, transfer, conversion or correction, with all its lines.

    `key` is what makes a repetition of the same request change nothing; it is unique within the Smart Account.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=[(k.value, k.label) for k in RecordKind])
    key = models.CharField(max_length=120)
    content_digest = models.CharField(max_length=64, blank=True)
    actor_kind = models.CharField(max_length=12)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True, help_text="empty for a person, whose name is personal")
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    objects = OwnershipRecordQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["smart_account", "key"], name="ownership_record_once")]
        indexes = [models.Index(fields=["smart_account", "-at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class PurchaseLine(models.Model):
    """A quantity of one license in one VA, counted from `start` until just before `end` (null: without end).

    `quantity` is what the line came with and never changes; what has left it since are its allocations, and what is
    left of it is `remaining` (`PurchaseLineQuerySet.with_remaining`). A line made by a transfer or conversion has the
    line it was taken from as `parent`, so every unit can be followed to its order.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="lines")
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="lines")
    record = models.ForeignKey(OwnershipRecord, on_delete=models.PROTECT, related_name="lines")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    quantity = models.BigIntegerField()
    license_type = models.CharField(max_length=20, choices=[(t.value, t.label) for t in LicenseType])
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)
    subscription_id = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=20, choices=[(s.value, s.value) for s in LineSource], default=LineSource.ORDER)
    created_at = models.DateTimeField()

    # There only after `with_remaining`.
    remaining: int
    # There only after `drawing.find_lines`: what is neither gone from it nor reserved.
    spare: int

    objects = PurchaseLineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="line_quantity_positive"),
            models.CheckConstraint(
                condition=models.Q(end__isnull=True) | models.Q(end__gt=models.F("start")), name="line_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["virtual_account", "license"])]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.license_id}"

    def state_at(self, moment: datetime) -> LineState:
        """Whether the line counts at the moment: from start until just before end."""
        if moment < self.start:
            return LineState.FUTURE
        return LineState.ACTIVE if self.end is None or moment < self.end else LineState.EXPIRED


class Allocation(models.Model):
    """A quantity that left a line: transferred (the line it became is `child`), terminated, converted or corrected.

    A trigger refuses what would take more from a line than it came with. Account and license are the line's.
    """

    record = models.ForeignKey(OwnershipRecord, on_delete=models.PROTECT, related_name="allocations")
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(PurchaseLine, on_delete=models.PROTECT, related_name="allocations")
    child = models.OneToOneField(PurchaseLine, null=True, blank=True, on_delete=models.PROTECT, related_name="taken_by")
    quantity = models.BigIntegerField()
    at = models.DateTimeField()

    objects = AllocationQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(quantity__gt=0), name="allocation_quantity_positive")]
        indexes = [models.Index(fields=["virtual_account", "license"])]

    def __str__(self) -> str:
        return f"{self.quantity} of line {self.line_id}"


class TermNotice(models.Model):
    """That a line comes to its end in `days` (0: has come to it) is known; the dispatcher turns it into alerts."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(PurchaseLine, on_delete=models.PROTECT, related_name="notices")
    days = models.PositiveSmallIntegerField()
    quantity = models.BigIntegerField(help_text="what was left of the line when the notice was made")
    at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True, blank=True)

    objects = TermNoticeQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["line", "days"], name="term_notice_once")]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(dispatched_at__isnull=True), name="term_notice_undispatched")
        ]

    def __str__(self) -> str:
        return f"line {self.line_id}: {self.days} days"
