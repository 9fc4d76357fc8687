from datetime import datetime

from django.db import models
from django.db.models import Q

from accounts.models import SmartAccount, User, VirtualAccount
from licensing.models import Origin, Snapshot
from pki.models import Certificate, RootRequest, StoredKey
from sync.querysets import OnPremServerQuerySet
from sync.states import (
    DEADLINE_NEAR_AFTER,
    OVERDUE_AFTER,
    REMOVED_AFTER,
    CertificateKind,
    Deadline,
    ServerHealth,
    ServerState,
    next_deadline,
)


class OnPremServer(models.Model):
    """An on-prem license server. Its `uuid` is what the files call instance_id, uuid and collector_id.

    `last_sync` is what the last response applied said, word for word: the next incremental file must quote it.
    `registration` counts registrations: certificates of an earlier one are never believed again.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    uuid = models.UUIDField(unique=True)
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=[(value, value.value) for value in ServerState])
    origin = models.OneToOneField(Origin, on_delete=models.PROTECT, related_name="+")
    lcs_key = models.BinaryField(help_text="SubjectPublicKeyInfo DER")
    lcs_key_digest = models.CharField(max_length=64, db_index=True)
    registration = models.PositiveIntegerField(default=1)
    registered_at = models.DateTimeField()
    registered_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    registered_by_client = models.CharField(max_length=64, blank=True, help_text="the API client's key, if it was one")
    three_tier = models.OneToOneField(RootRequest, null=True, on_delete=models.PROTECT, related_name="+")
    three_tier_told = models.BooleanField(default=False)
    last_sync = models.CharField(max_length=32, blank=True)
    last_sync_at = models.DateTimeField(null=True)
    last_generated_at = models.DateTimeField(null=True)
    last_header_at = models.BigIntegerField(default=0, help_text="ms; the last signed header of a network call")
    ssms_version = models.CharField(max_length=64, blank=True)
    overdue_told_at = models.DateTimeField(null=True)
    deadline_told_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    held = models.OneToOneField(
        Snapshot,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="what its files named in local accounts that are not linked",
    )

    objects = OnPremServerQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["smart_account", "name"]),
            models.Index(
                fields=["last_sync_at"], condition=Q(state=ServerState.REGISTERED), name="onprem_server_registered"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Its page. Select `smart_account` along."""
        return f"/accounts/{self.smart_account.domain}/onprem/{self.uuid}/"

    @property
    def heard_at(self) -> datetime:
        """From when the deadlines run: the last synchronization, or the registration."""
        return max(self.last_sync_at, self.registered_at) if self.last_sync_at is not None else self.registered_at

    @property
    def removal_due_at(self) -> datetime:
        return self.heard_at + REMOVED_AFTER

    def deadline_at(self, moment: datetime) -> Deadline | None:
        """What its silence brings next; nothing for one that is removed."""
        return next_deadline(self.heard_at, moment) if self.state == ServerState.REGISTERED else None

    def health_at(self, moment: datetime) -> ServerHealth:
        if self.state == ServerState.REMOVED:
            return ServerHealth.REMOVED
        silent = moment - self.heard_at
        if silent >= DEADLINE_NEAR_AFTER:
            return ServerHealth.DEADLINE_NEAR
        if silent >= OVERDUE_AFTER:
            return ServerHealth.OVERDUE
        return ServerHealth.PENDING if self.last_sync_at is None else ServerHealth.CURRENT


class ServerCertificate(models.Model):
    """A certificate that we gave to a server; `signing_key` is ours where it signs our files for it."""

    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="certificates")
    kind = models.CharField(max_length=24, choices=[(value, value.label) for value in CertificateKind])
    registration = models.PositiveIntegerField()
    certificate = models.OneToOneField(Certificate, on_delete=models.PROTECT, related_name="+")
    signing_key = models.ForeignKey(StoredKey, null=True, on_delete=models.PROTECT, related_name="+")
    csr_key_digest = models.CharField(max_length=64, blank=True, db_index=True)
    issued_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["server", "kind", "-id"])]

    def __str__(self) -> str:
        return f"{self.kind} of server {self.server_id}"


class ServerHost(models.Model):
    """A name or address in a server's HTTPS certificates: no other Smart Account gets a certificate for it."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="hosts")
    name = models.CharField(max_length=253)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "server"], name="server_host_once")]

    def __str__(self) -> str:
        return self.name


class HostLock(models.Model):
    """Locked while certificates with the name are recorded, so that two Smart Accounts never get it in one instant."""

    name = models.CharField(max_length=253, primary_key=True)

    def __str__(self) -> str:
        return self.name


class KeyLock(models.Model):
    """Locked while certificates for the key are recorded, so that two servers never share one, not even for an instant.
    `digest` is the SHA-256 of its SubjectPublicKeyInfo."""

    digest = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.digest
