"""What an on-prem server says of its product instances, staged row by row before it is applied as a whole.

The rows live for one synchronization and are written by the hundred thousand: no foreign keys are checked, and they are
deleted with the snapshot.
"""

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from licensing.models.devices import Origin


class Snapshot(models.Model):
    """One file of one server, being read."""

    origin = models.ForeignKey(Origin, on_delete=models.PROTECT, related_name="snapshots")
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"snapshot {self.pk}"


class SnapshotAccount(models.Model):
    """A local Virtual Account of the file by its position, and the one here that it is linked to, if any."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="accounts")
    position = models.PositiveIntegerField()
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["snapshot", "position"], name="snapshot_account_once")]

    def __str__(self) -> str:
        return f"account {self.position} of snapshot {self.snapshot_id}"


class StagedInstance(models.Model):
    """One product instance as the file names it; `line` is where."""

    snapshot = models.ForeignKey(
        Snapshot, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    line = models.PositiveIntegerField()
    account = models.PositiveIntegerField()
    external_id = models.CharField(max_length=64)
    is_active = models.BooleanField()
    software_tag = models.CharField(max_length=255)
    udi = models.CharField(max_length=400)
    udi_pid = models.CharField(max_length=128)
    udi_serial_number = models.CharField(max_length=128)
    hostname = models.CharField(max_length=255)
    ip_address = models.CharField(max_length=64)
    mac_address = models.CharField(max_length=64)
    host_identifier = models.CharField(max_length=255)
    registered_at = models.DateTimeField(null=True)
    ha_group = models.CharField(max_length=64)

    class Meta:
        indexes = [models.Index(fields=["snapshot", "external_id"])]

    def __str__(self) -> str:
        return self.external_id


class StagedUse(models.Model):
    """What one of them uses of one tag."""

    snapshot = models.ForeignKey(
        Snapshot, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    external_id = models.CharField(max_length=64)
    tag = models.CharField(max_length=255)
    quantity = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["snapshot", "external_id"])]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.tag}"
