from dataclasses import dataclass, field

from django.db import models

from pki.states import KeyAlgorithm, KeyPurpose


@dataclass(frozen=True, slots=True)
class KeyRef:
    """A handle on a private key: only `pki.keystore` can make use of it. `spki_der` is its public half."""

    id: int
    purpose: KeyPurpose
    wrapped: bytes = field(repr=False)
    spki_der: bytes = field(repr=False)


class StoredKey(models.Model):
    """A private key, wrapped by KEY_ENCRYPTION_KEY (the root's also by ROOT_KEY_PASSPHRASE)."""

    algorithm = models.CharField(max_length=16, choices=[(value, value) for value in KeyAlgorithm])
    purpose = models.CharField(max_length=16, choices=[(value, value) for value in KeyPurpose])
    passphrase_protected = models.BooleanField(default=False)
    wrapped = models.BinaryField(help_text="PKCS#8 DER under AES-256-GCM, bound to purpose and id")
    spki_der = models.BinaryField(help_text="SubjectPublicKeyInfo DER")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.algorithm} key {self.pk}"

    @property
    def ref(self) -> KeyRef:
        return KeyRef(
            id=self.pk,
            purpose=KeyPurpose(self.purpose),
            wrapped=bytes(self.wrapped),
            spki_der=bytes(self.spki_der),
        )
