"""What programs asked for devices, and what it came to, until they poll for it."""

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.querysets import TenantQuerySet


class DeviceCall(models.Model):
    """One call with any number of devices. `sealed` are the results, encrypted: they hold authorization codes."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    poll_id = models.BigIntegerField(unique=True)
    created_by_kind = models.CharField(max_length=12)
    created_by_id = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    sealed = models.BinaryField()

    objects = TenantQuerySet["DeviceCall"].as_manager()

    def __str__(self) -> str:
        return f"call {self.poll_id}"
