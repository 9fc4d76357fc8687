from django.db import models
from django.db.models import Q

from pki.models.authorities import Authority
from pki.models.keys import StoredKey
from pki.states import ProfileName, RequestState


class SigningRequest(models.Model):
    """The intent to sign one certificate, stored with its serial number before the signature is made.

    One that gets no result (the process died) is voided by the sweep, so that every serial number is accounted for.
    """

    serial = models.CharField(max_length=40, help_text="Lower-case hex without leading zeros")
    issuer = models.ForeignKey(Authority, on_delete=models.PROTECT)
    profile = models.CharField(max_length=32, choices=[(value, value) for value in ProfileName])
    subject = models.CharField(max_length=200)
    key = models.ForeignKey(
        StoredKey, on_delete=models.SET_NULL, null=True, help_text="The key to be certified, where it is ours"
    )
    state = models.CharField(
        max_length=8, choices=[(value, value.label) for value in RequestState], default=RequestState.PENDING
    )
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["serial"], name="signing_request_serial"),
            models.CheckConstraint(
                condition=Q(state=RequestState.PENDING, closed_at=None)
                | (~Q(state=RequestState.PENDING) & Q(closed_at__isnull=False)),
                name="signing_request_closed_when_not_pending",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="signing_request_pending", condition=Q(state=RequestState.PENDING))
        ]

    def __str__(self) -> str:
        return f"{self.profile} {self.serial}"
