from django.db import models

from pki.models.authorities import Authority
from pki.models.certificates import Certificate
from pki.states import RevocationReason


class Revocation(models.Model):
    """A certificate that is not to be trusted any more. Never taken back."""

    certificate = models.OneToOneField(Certificate, primary_key=True, on_delete=models.PROTECT)
    issuer = models.ForeignKey(Authority, on_delete=models.PROTECT, related_name="revocations")
    serial = models.CharField(max_length=40)
    reason = models.CharField(max_length=24, choices=[(value, value.label) for value in RevocationReason])
    not_after = models.DateTimeField(help_text="of the certificate: later, no list needs to name it")
    revoked_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["issuer", "not_after"])]

    def __str__(self) -> str:
        return f"{self.serial}: {self.reason}"


class RevocationList(models.Model):
    """A list as it was published."""

    authority = models.ForeignKey(Authority, on_delete=models.PROTECT, related_name="lists")
    number = models.BigIntegerField()
    der = models.BinaryField()
    entries = models.PositiveIntegerField()
    known = models.PositiveIntegerField(help_text="revocations there were then, also of what had ended")
    this_update = models.DateTimeField()
    next_update = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["authority", "number"], name="revocation_list_number")]

    def __str__(self) -> str:
        return f"{self.authority} {self.number}"


class BlockedKey(models.Model):
    """A key that somebody else may have: it is never certified again."""

    spki_sha256 = models.CharField(max_length=64, primary_key=True)
    reason = models.CharField(max_length=500)
    blocked_by = models.CharField(max_length=255)
    blocked_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.spki_sha256


class IssuingChange(models.Model):
    """The switch that stops issuing, as the history of its positions: the last one holds."""

    stopped = models.BooleanField()
    reason = models.CharField(max_length=500)
    changed_by = models.CharField(max_length=255)
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{'stopped' if self.stopped else 'resumed'} {self.changed_at:%Y-%m-%d %H:%M}"
