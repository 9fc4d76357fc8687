from django.db import models

from pki.models.keys import StoredKey


class PooledKey(models.Model):
    """A key made ahead. Claiming it deletes this row, so no key is ever used twice."""

    key = models.OneToOneField(StoredKey, on_delete=models.CASCADE, primary_key=True)

    def __str__(self) -> str:
        return f"pooled key {self.pk}"
