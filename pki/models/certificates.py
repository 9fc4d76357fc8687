from django.db import models

from pki.models.authorities import Authority
from pki.models.signing_requests import SigningRequest
from pki.states import ProfileName


class Certificate(models.Model):
    """A certificate that we signed, whole: what others present is compared with these bytes."""

    request = models.OneToOneField(SigningRequest, on_delete=models.PROTECT)
    issuer = models.ForeignKey(Authority, on_delete=models.PROTECT)
    serial = models.CharField(max_length=40, help_text="Lower-case hex without leading zeros")
    profile = models.CharField(max_length=32, choices=[(value, value) for value in ProfileName])
    subject = models.CharField(max_length=200)
    der = models.BinaryField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    issued_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["serial"], name="certificate_serial")]

    def __str__(self) -> str:
        return f"{self.profile} {self.serial}"
