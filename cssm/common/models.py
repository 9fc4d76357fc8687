"""Rows that every app may need: leases of jobs and answers kept for repeated API calls."""

from django.db import models


class Lease(models.Model):
    """Who runs a kind of job at the moment. `holder` is empty when nobody does."""

    name = models.CharField(max_length=100, primary_key=True)
    holder = models.CharField(max_length=32, blank=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class IdempotentAnswer(models.Model):
    """The stored answer to an API call that carried an `Idempotency-Key`; encrypted, for it may hold a secret."""

    client_key = models.CharField(max_length=64, help_text="SHA-256 of client, path and Idempotency-Key")
    body_digest = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField(null=True)
    answer = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client_key"], name="idempotent_answer_key")]

    def __str__(self) -> str:
        return self.client_key
