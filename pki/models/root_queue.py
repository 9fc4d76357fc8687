from django.db import models
from django.db.models import Q

from pki.models.certificates import Certificate
from pki.models.signing_requests import SigningRequest
from pki.states import ProfileName, RootRequestState


class RootRequest(models.Model):
    """A certificate that the root is to sign, not before `due_at`: the root's key is in one worker alone.

    The wait is this row. Once `signed` it has its certificate, and nothing can give it a second one.
    """

    profile = models.CharField(max_length=32, choices=[(value, value) for value in ProfileName])
    common_name = models.CharField(max_length=64)
    spki_der = models.BinaryField(help_text="SubjectPublicKeyInfo DER of the key to be certified")
    state = models.CharField(
        max_length=10,
        choices=[(value, value.label) for value in RootRequestState],
        default=RootRequestState.WAITING,
    )
    due_at = models.DateTimeField()
    created_at = models.DateTimeField()
    attempted_at = models.DateTimeField(null=True)
    signing_request = models.OneToOneField(SigningRequest, null=True, on_delete=models.PROTECT, related_name="+")
    certificate = models.OneToOneField(Certificate, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state=RootRequestState.SIGNED, certificate__isnull=False)
                | (~Q(state=RootRequestState.SIGNED) & Q(certificate__isnull=True)),
                name="root_request_signed_has_certificate",
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=[RootRequestState.WAITING, RootRequestState.SIGNING]),
                name="root_request_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.profile} for {self.common_name}"
