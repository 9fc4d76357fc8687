"""What is wrong, or worth knowing, in an account."""

from django.db import models

from accounts.models import SmartAccount, User, VirtualAccount
from alerts.querysets import AlertQuerySet
from alerts.states import AlertType, Severity


class Alert(models.Model):
    """One incident: raised once per cause, updated while it lasts, cleared by its cure; a relapse is a new row.

    `cause` names the thing that is wrong ("pool:17"), `source` what people call it. `params` are the figures and names
    that the sentence of the alert's type is made of (`alerts.services.texts`). `path` is the page that shows it.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="alerts")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="alerts")
    type = models.CharField(max_length=60, choices=[(kind.value, kind.label) for kind in AlertType])
    severity = models.PositiveSmallIntegerField(choices=[(severity.value, severity.label) for severity in Severity])
    cause = models.CharField(max_length=200)
    params = models.JSONField(default=dict)
    source = models.CharField(max_length=300, blank=True)
    path = models.CharField(max_length=500, blank=True)
    action_due = models.DateTimeField(null=True)
    raised_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["smart_account", "type", "cause"],
                condition=models.Q(cleared_at__isnull=True),
                name="alert_one_standing_per_cause",
            ),
        ]
        indexes = [
            models.Index(
                fields=["smart_account", "severity", "action_due"],
                condition=models.Q(cleared_at__isnull=True),
                name="alert_standing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.cause}"

    @property
    def grade(self) -> Severity:
        return Severity(self.severity)

    @property
    def kind(self) -> AlertType:
        return AlertType(self.type)


class SourceLock(models.Model):
    """Locked while the rows of one source are drained, so that its raises and clears are applied in their order."""

    name = models.CharField(max_length=100, primary_key=True)

    def __str__(self) -> str:
        return self.name
