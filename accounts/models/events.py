"""The append-only event log, sealed by hash chains: one chain per Smart Account and one for the installation."""

from django.db import models

from accounts.models.smart_accounts import SmartAccount
from accounts.models.virtual_accounts import VirtualAccount
from accounts.querysets import EventQuerySet
from accounts.states import render_event
from cssm.common.text import mark


class Event(models.Model):
    """One change that somebody or something made.

    Inserted unchained; the sealer gives it `position` and `digest` later, once, and nothing else ever changes it.
    `personal_digests` maps the name of each personal value to its salted digest; the value is in `EventPersonal`.
    """

    # Found by the indexes below: one more for each key would only have to be kept. The rows of accounts are never
    # deleted; PostgreSQL would look them up for each of the 100,000 events of a file.
    smart_account = models.ForeignKey(
        SmartAccount, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    virtual_account = models.ForeignKey(
        VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    at = models.DateTimeField()
    name = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=12)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True, help_text="Empty for a person, whose name is personal")
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    personal_digests = models.JSONField(default=dict)
    position = models.BigIntegerField(null=True)
    digest = models.BinaryField(max_length=32, null=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["smart_account", "position"],
                condition=models.Q(smart_account__isnull=False, position__isnull=False),
                name="event_position_in_account_log",
            ),
            models.UniqueConstraint(
                fields=["position"],
                condition=models.Q(smart_account__isnull=True, position__isnull=False),
                name="event_position_in_installation_log",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(position__isnull=True), name="event_unsealed"),
            models.Index(fields=["smart_account", "-id"], name="event_of_smart_account"),
            models.Index(fields=["virtual_account", "-id"], name="event_of_virtual_account"),
            models.Index(fields=["subject_type", "subject_id", "-id"], name="event_of_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.subject_type} {self.subject_id}"

    @property
    def personal_values(self) -> dict[str, str]:
        """Names, addresses and the like, as far as they were not erased."""
        personal = getattr(self, "personal", None)
        return dict(personal.values) if personal is not None else {}

    @property
    def message(self) -> str:
        return render_event(self.name, {**self.data, **self.personal_values})

    @property
    def actor_name(self) -> str:
        """Who did it, as far as that may still be known."""
        return self.actor_label or self.personal_values.get("actor") or mark("[erased]")


class EventPersonal(models.Model):
    """Personal values of an event. Deleting the row erases them and leaves the chain whole."""

    event = models.OneToOneField(Event, on_delete=models.PROTECT, primary_key=True, related_name="personal")
    salt = models.BinaryField(max_length=16)
    values = models.JSONField()

    def __str__(self) -> str:
        return f"personal values of event {self.event_id}"


class EventLogHead(models.Model):
    """The end of one chain: how many events are sealed, and the digest of the last. `log` as in `log_of`."""

    log = models.CharField(max_length=40, primary_key=True)
    position = models.BigIntegerField()
    digest = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return self.log
