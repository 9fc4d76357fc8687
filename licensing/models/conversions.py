"""Conversions of classic licenses (white paper, Device-Led Conversion): what was asked, and what came of it, once."""

from django.db import models
from django.db.models import Q

from accounts.models import SmartAccount, VirtualAccount
from licensing.models.catalog import License
from licensing.models.devices import Origin
from licensing.models.ownership import OwnershipRecord
from licensing.querysets.conversions import ConversionQuerySet
from licensing.states.conversions import ConversionSource, ConversionState, ConversionType


class Conversion(models.Model):
    """One request of one product: all of its lines become purchase lines, or none does.

    The row is what must happen, from `due_at`; a sweep carries it out. `content_digest` is equal for equal lines.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="conversions")
    source = models.CharField(max_length=10, choices=[(s.value, s.label) for s in ConversionSource])
    origin = models.ForeignKey(
        Origin, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="an on-prem server's"
    )
    udi = models.CharField(max_length=400)
    udi_pid = models.CharField(max_length=128, blank=True)
    udi_serial_number = models.CharField(max_length=128, blank=True)
    software_tag = models.CharField(max_length=255, blank=True)
    content_digest = models.CharField(max_length=64)
    state = models.CharField(
        max_length=10, choices=[(s.value, s.label) for s in ConversionState], default=ConversionState.WAITING
    )
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    reasons = models.JSONField(default=list, help_text="the same as data, for other languages")
    record = models.OneToOneField(
        OwnershipRecord, null=True, blank=True, on_delete=models.PROTECT, related_name="conversion"
    )
    requested_at = models.DateTimeField()
    requested_by_kind = models.CharField(max_length=12)
    requested_by_id = models.CharField(max_length=64, blank=True)
    requested_by_label = models.CharField(max_length=200, blank=True, help_text="empty for a person")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ConversionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["smart_account", "udi", "content_digest"],
                condition=Q(state=ConversionState.WAITING),
                name="conversion_waits_once",
            )
        ]
        indexes = [
            models.Index(fields=["smart_account", "-id"]),
            models.Index(fields=["smart_account", "udi"]),
            models.Index(fields=["origin", "udi"]),
            models.Index(fields=["due_at"], condition=Q(state=ConversionState.WAITING), name="conversion_due"),
        ]

    def __str__(self) -> str:
        return f"conversion {self.pk} of {self.udi}"


class ConversionLine(models.Model):
    """A line as it was asked for. `key` is what makes two lines of one product the same; its license file is not kept,
    only the digest that is in the key."""

    conversion = models.ForeignKey(Conversion, on_delete=models.PROTECT, related_name="lines")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=[(t.value, t.label) for t in ConversionType])
    tag = models.CharField(max_length=255)
    quantity = models.BigIntegerField()
    key = models.CharField(max_length=64)
    license = models.ForeignKey(License, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_new = models.BooleanField(default=False, help_text="it became a purchase line by this conversion")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversion", "number"], name="conversion_line_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="conversion_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.tag}"


class ConvertedLine(models.Model):
    """That this line of this product was converted: once in the installation, whoever asks again."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    conversion = models.ForeignKey(Conversion, on_delete=models.PROTECT, related_name="converted")
    udi = models.CharField(max_length=400)
    key = models.CharField(max_length=64)
    quantity = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["udi", "key"], name="converted_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.udi}"
