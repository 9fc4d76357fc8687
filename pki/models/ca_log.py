from django.db import models
from django.db.models import Q

from pki.states import LogKind, ProfileName


class CaLogBatch(models.Model):
    """Entries sealed together. `digest` chains every entry of this batch to the digest of the batch before."""

    number = models.BigIntegerField(primary_key=True)
    entries = models.PositiveIntegerField()
    digest = models.BinaryField()
    sealed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "CA log batches"

    def __str__(self) -> str:
        return f"batch {self.number}"


class CaLogEntry(models.Model):
    """One thing that happened to one certificate. Inserted unchained; sealed in batches."""

    kind = models.CharField(max_length=8, choices=[(value, value.label) for value in LogKind])
    serial = models.CharField(max_length=40)
    issuer = models.CharField(max_length=32)
    profile = models.CharField(max_length=32, choices=[(value, value) for value in ProfileName])
    subject = models.CharField(max_length=200)
    certificate_sha256 = models.CharField(max_length=64, blank=True, help_text="Empty where nothing was signed")
    happened_at = models.DateTimeField()
    batch = models.ForeignKey(CaLogBatch, on_delete=models.PROTECT, null=True)

    class Meta:
        verbose_name_plural = "CA log entries"
        constraints = [models.UniqueConstraint(fields=["serial", "kind"], name="ca_log_entry_once")]
        indexes = [models.Index(fields=["id"], name="ca_log_entry_unsealed", condition=Q(batch=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.serial}"


class CaLogHead(models.Model):
    """The end of the chain, in one row: cutting off the last batches does not go unnoticed.

    `seal` is a MAC under KEY_ENCRYPTION_KEY, so that the database alone cannot be used to write another history.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    batches = models.BigIntegerField(default=0)
    entries = models.BigIntegerField(default=0)
    digest = models.BinaryField()
    seal = models.BinaryField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="ca_log_head_is_one_row")]

    def __str__(self) -> str:
        return f"{self.entries} entries in {self.batches} batches"
