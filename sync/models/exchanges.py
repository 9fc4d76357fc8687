"""Every file exchanged with a server: what came, what became of it, what was answered, kept for 90 days."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import Q

from accounts.models import SmartAccount, VirtualAccount
from licensing.models import Snapshot
from sync.models.servers import OnPremServer
from sync.querysets import ExchangeQuerySet
from sync.states import OPEN_STATES, ExchangeKind, ExchangeState, NoticeKind, Side

FILES_KEPT_FOR: Final = timedelta(days=90)


class Exchange(models.Model):
    """One uploaded file. `digest` is the SHA-256 of its plain bytes: the same bytes get the same response.

    While it is open, a worker holds it by `worker` until `held_until`; whoever finds that past may take it over.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="exchanges")
    kind = models.CharField(max_length=16, choices=[(value, value.label) for value in ExchangeKind])
    state = models.CharField(max_length=10, choices=[(value, value.label) for value in ExchangeState])
    is_dry_run = models.BooleanField(default=False)
    is_full = models.BooleanField(null=True)
    digest = models.CharField(max_length=64)
    size = models.BigIntegerField(help_text="bytes, unpacked")
    content_length = models.BigIntegerField(default=0, help_text="bytes that the signature covers")
    last_sync = models.CharField(max_length=32, blank=True, help_text="what the response told the server to quote")
    generated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    created_by_kind = models.CharField(max_length=12)
    created_by_id = models.CharField(max_length=64, blank=True)
    created_by_label = models.CharField(max_length=255, blank=True)
    bytes_read = models.BigIntegerField(default=0)
    rows_staged = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=32, blank=True)
    held_until = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    snapshot = models.ForeignKey(Snapshot, null=True, on_delete=models.SET_NULL, related_name="+")
    errors = models.JSONField(default=list)
    difference = models.JSONField(default=dict)
    response_size = models.BigIntegerField(default=0)
    files_deleted_at = models.DateTimeField(null=True)

    objects = ExchangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["server", "digest"],
                condition=Q(state=ExchangeState.APPLIED, kind=ExchangeKind.SYNCHRONIZATION, is_dry_run=False),
                name="exchange_applied_once",
            )
        ]
        indexes = [
            models.Index(fields=["smart_account", "-id"]),
            models.Index(fields=["server", "-id"]),
            models.Index(fields=["id"], condition=Q(state__in=sorted(OPEN_STATES)), name="exchange_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class ExchangePart(models.Model):
    """A piece of one of the two files: packed, and encrypted, for files name devices and may hold keys."""

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="parts")
    side = models.CharField(max_length=8, choices=[(value, value.value) for value in Side])
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["exchange", "side", "number"], name="exchange_part_once")]

    def __str__(self) -> str:
        return f"{self.side} {self.number} of exchange {self.exchange_id}"


class KeptRequest(models.Model):
    """A conversion request or usage report that came in a file, checked and kept for whoever works on it."""

    KINDS: Final = (("conversion", "conversion"), ("rum", "rum"))

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="kept_requests")
    exchange = models.ForeignKey(Exchange, on_delete=models.PROTECT, related_name="kept_requests")
    kind = models.CharField(max_length=10, choices=KINDS)
    line = models.PositiveIntegerField()
    content = models.BinaryField(help_text="JSON of the file's mapping, encrypted")
    created_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["kind", "id"], condition=Q(taken_at__isnull=True), name="kept_request_untaken")]

    def __str__(self) -> str:
        return f"{self.kind} in exchange {self.exchange_id}"


class Notice(models.Model):
    """Something happened to a server that people are told of, or that ends what they were told."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=[(value, value.value) for value in NoticeKind])
    at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(dispatched_at__isnull=True), name="sync_notice_undispatched")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of server {self.server_id}"
