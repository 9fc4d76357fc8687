from django.db import models

from pki.models.keys import StoredKey
from pki.states import AuthorityName


class Authority(models.Model):
    """One who signs. `certificate_der` is empty between the making of the key and the recording of the certificate.

    One that was replaced signs no certificates any more; its rows stay, for what it has signed.
    """

    name = models.CharField(max_length=32, choices=[(value, value) for value in AuthorityName])
    key = models.OneToOneField(StoredKey, on_delete=models.PROTECT)
    certificate_der = models.BinaryField(default=b"")
    created_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True, blank=True, help_text="since when another one bears the name")

    class Meta:
        verbose_name_plural = "authorities"
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=models.Q(replaced_at=None), name="authority_name")
        ]

    def __str__(self) -> str:
        return self.name
