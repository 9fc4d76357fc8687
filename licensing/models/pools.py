"""The figures of one license in one Virtual Account, and how they change."""

from django.db import models

from accounts.models import AccountTag, SmartAccount, VirtualAccount
from licensing.models.catalog import HierarchyVersion, License, LicenseFamily
from licensing.querysets.pools import PoolQuerySet, PoolTransitionQuerySet, UsageChangeQuerySet
from licensing.states import CompactionKind, Compliance


class PoolUnit(models.Model):
    """The lock unit: one Virtual Account and one license family. Nothing else is ever locked for quantities.

    `hierarchy` says which of its licenses stands in for which, null where none does; a new version reaches one Virtual
    Account after the other (`follow_catalog`).
    `valid_until` is the earliest instant at which a pool of it changes by itself (a line starts or ends), null if none.
    `terms_at` is the moment for which the lines were last read: one who waited for the lock may come with an earlier
    `now`, and must not undo what has begun since.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    family = models.ForeignKey(LicenseFamily, on_delete=models.PROTECT, related_name="+")
    hierarchy = models.ForeignKey(
        HierarchyVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="units"
    )
    valid_until = models.DateTimeField(null=True, blank=True, db_index=True)
    terms_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["virtual_account", "family"], name="pool_unit_once")]

    def __str__(self) -> str:
        return f"{self.virtual_account_id}/{self.family_id}"


class Pool(models.Model):
    """Figures as of the last fold; a read adds the pending deltas (`with_figures`)."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="pools")
    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="pools")
    unit = models.ForeignKey(PoolUnit, on_delete=models.PROTECT, related_name="pools")
    purchased = models.BigIntegerField(default=0)
    in_use = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    borrowed = models.BigIntegerField(default=0)
    lent = models.BigIntegerField(default=0)
    status = models.CharField(
        max_length=20, choices=[(s.value, s.label) for s in Compliance], default=Compliance.AUTHORIZED
    )
    status_since = models.DateTimeField(null=True, blank=True)
    tags = models.ManyToManyField(AccountTag, blank=True, related_name="pools")
    valid_until = models.DateTimeField(null=True, blank=True)

    # There only after `with_figures`.
    now_purchased: int
    now_in_use: int
    now_reserved: int
    now_borrowed: int
    now_lent: int
    now_balance: int
    now_free: int
    now_status: str

    objects = PoolQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["virtual_account", "license"], name="pool_once"),
            models.CheckConstraint(
                condition=models.Q(purchased__gte=0, in_use__gte=0, reserved__gte=0, borrowed__gte=0, lent__gte=0),
                name="pool_figures_not_negative",
            ),
        ]
        indexes = [models.Index(fields=["virtual_account", "status"]), models.Index(fields=["smart_account", "status"])]

    def __str__(self) -> str:
        return f"pool {self.pk}"


class PoolDelta(models.Model):
    """A change of use or reservation that the fold has not taken yet. Many writers, no hot row.

    Its unit is its pool's, never a copy, for a pool can move to another unit. No database constraints on the foreign
    keys: checking one locks the row it points to, and that would be the same pool for every device of an account;
    pools are never deleted, and a delta lives for about a second.
    """

    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="deltas", db_constraint=False)
    virtual_account = models.ForeignKey(
        VirtualAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    instance_id = models.BigIntegerField(null=True, help_text="whose use or reservation it is")
    in_use = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["virtual_account", "pool"])]

    def __str__(self) -> str:
        return f"delta of pool {self.pool_id}"


class UsageChange(models.Model):
    """A delta that the fold has taken, kept for good: every change of use and reservation there ever was.

    What was in use at an earlier moment is what is in use now without the changes since. As with deltas there are no
    database constraints on the foreign keys: the fold writes many rows at once, and neither pools nor instances are
    ever deleted.
    """

    smart_account = models.ForeignKey(
        SmartAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    virtual_account = models.ForeignKey(
        VirtualAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    pool = models.ForeignKey(
        Pool, on_delete=models.PROTECT, related_name="usage_changes", db_constraint=False, db_index=False
    )
    instance_id = models.BigIntegerField(null=True, help_text="whose use or reservation it is")
    in_use = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    at = models.DateTimeField()

    objects = UsageChangeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["pool", "at"]),
            models.Index(fields=["virtual_account", "at"]),
            models.Index(fields=["instance_id", "at"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"change of pool {self.pool_id}"


class HistoryCompaction(models.Model):
    """A day of the history that was brought to a few rows, or dropped for its age.

    The database lets rows of `UsageChange` go only while one is open, and only rows of its day.
    """

    kind = models.CharField(max_length=12, choices=[(k.value, k.value) for k in CompactionKind])
    start = models.DateTimeField()
    until = models.DateTimeField()
    at = models.DateTimeField()
    is_open = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "start"], name="history_compacted_once"),
            models.UniqueConstraint(
                fields=["is_open"], condition=models.Q(is_open=True), name="history_one_compaction_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.start:%Y-%m-%d}"


class PoolTransition(models.Model):
    """A pool's status changed. Alerts, e-mail and webhooks read these rows; only the fold writes them."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="transitions")
    old = models.CharField(max_length=20, choices=[(s.value, s.label) for s in Compliance])
    new = models.CharField(max_length=20, choices=[(s.value, s.label) for s in Compliance])
    cause = models.CharField(max_length=100)
    purchased = models.BigIntegerField()
    in_use = models.BigIntegerField()
    reserved = models.BigIntegerField()
    borrowed = models.BigIntegerField(default=0)
    lent = models.BigIntegerField(default=0)
    balance = models.BigIntegerField()
    at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True, blank=True)

    objects = PoolTransitionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=models.Q(dispatched_at__isnull=True), name="transition_undispatched")
        ]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class PoolCheck(models.Model):
    """One run of the comparison of all figures with the records they follow from; differences raise an alarm."""

    at = models.DateTimeField()
    pools = models.PositiveIntegerField(help_text="how many were compared")
    milliseconds = models.PositiveIntegerField()
    difference_count = models.PositiveIntegerField()
    differences = models.JSONField(default=list, help_text="the first of them, as `rebuild_pools --check` prints them")
    mail_due_at = models.DateTimeField(
        null=True, blank=True, help_text="when operators are to be told; null: they were"
    )

    def __str__(self) -> str:
        return f"check of {self.at:%Y-%m-%d %H:%M}"
