"""What controllers see behind them and report, because it uses licenses: access points and the like."""

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.querysets import TenantQuerySet
from licensing.models.devices import ProductInstance


class Endpoint(models.Model):
    """An endpoint as one controller sees it. Of all that see it in a Smart Account one counts it."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="endpoints")
    identifier = models.CharField(max_length=255)
    type = models.CharField(max_length=64)
    tag = models.CharField(max_length=255)
    is_counted = models.BooleanField(default=False)
    since = models.DateTimeField()

    objects = TenantQuerySet["Endpoint"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "identifier", "type", "tag"], name="endpoint_once_seen"),
            models.UniqueConstraint(
                fields=["smart_account", "identifier", "type", "tag"],
                condition=models.Q(is_counted=True),
                name="endpoint_counts_once",
            ),
        ]
        indexes = [models.Index(fields=["smart_account", "identifier"])]

    def __str__(self) -> str:
        return f"{self.type} {self.identifier}"
