"""Answers that were not there when they were asked for: whoever asked comes back with a number (POLL)."""

from django.db import models
from django.db.models import Q

from licensing.querysets.conversions import PendingAnswerQuerySet


class PendingAnswer(models.Model):
    """`owner` alone may ask for it: a product instance or an API client. `kind` and `subject` name what it is about;
    whoever finishes that writes `answer`, which then answers every poll until it is forgotten.
    """

    poll_id = models.BigIntegerField(unique=True, help_text="63 random bits")
    owner = models.CharField(max_length=80)
    kind = models.CharField(max_length=30)
    subject = models.CharField(max_length=80)
    answer = models.BinaryField(null=True, help_text="JSON, encrypted")
    created_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)

    objects = PendingAnswerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "kind", "subject"], name="pending_answer_once"),
        ]
        indexes = [
            models.Index(fields=["kind", "subject"], condition=Q(answered_at__isnull=True), name="pending_answer_open"),
            models.Index(fields=["answered_at"]),
        ]

    def __str__(self) -> str:
        return f"answer {self.poll_id}"
