"""Product instances: who may register, who did, with which keys, and what they report."""

from datetime import datetime
from typing import ClassVar

from django.db import models

from accounts.models import AccountTag, SmartAccount, User, VirtualAccount
from licensing.models.catalog import License
from licensing.querysets.devices import (
    DuplicateFindingQuerySet,
    IdTokenQuerySet,
    InstanceNoticeQuerySet,
    ProductInstanceQuerySet,
    UsageQuerySet,
)
from licensing.states import DuplicateKind, InstanceState, KeyState, NoticeKind, TokenState, UsageKind, UsageSource
from pki.models import StoredKey


class Origin(models.Model):
    """Where an instance reports: directly, or through one on-prem server."""

    DIRECT: ClassVar = "direct"

    name = models.CharField(max_length=64, unique=True, help_text='"direct", or the UUID of the on-prem server')
    smart_account = models.ForeignKey(SmartAccount, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return self.name


class IdToken(models.Model):
    """An ID token: found by digest, its value kept encrypted, so that a leaked database gives no usable token."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="id_tokens")
    digest = models.CharField(max_length=64, unique=True)
    sealed_value = models.BinaryField()
    description = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_by_label = models.CharField(max_length=255)
    expires_at = models.DateTimeField()
    max_uses = models.PositiveIntegerField(null=True, blank=True, help_text="empty: unlimited")
    uses = models.PositiveIntegerField(default=0, help_text="counted only where uses are limited")
    export_controlled_allowed = models.BooleanField(default=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = IdTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_uses__isnull=True) | models.Q(uses__lte=models.F("max_uses")),
                name="token_uses_within_limit",
            )
        ]
        indexes = [models.Index(fields=["virtual_account", "-created_at"])]

    def __str__(self) -> str:
        return f"ID token {self.pk}"

    def state_at(self, moment: datetime) -> TokenState:
        """What the token can still do; where several reasons hold, the first a person would name."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at <= moment:
            return TokenState.EXPIRED
        if self.max_uses is not None and self.uses >= self.max_uses:
            return TokenState.EXHAUSTED
        return TokenState.ACTIVE

    @property
    def uses_left(self) -> int | None:
        """None: unlimited."""
        return None if self.max_uses is None else max(0, self.max_uses - self.uses)


class HaGroup(models.Model):
    """Use belongs to a group of instances that stand in for each other; every instance is in one (of one).

    Groups of an on-prem server are as it gives them, found again by `key`; those made here have neither.
    """

    # Those of its instances, which are bound to them.
    smart_account = models.ForeignKey(
        SmartAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    virtual_account = models.ForeignKey(
        VirtualAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    created_at = models.DateTimeField()
    origin = models.ForeignKey(
        Origin,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=100, blank=True)

    class Meta:
        # Without an origin they are all different: NULL equals nothing.
        constraints = [models.UniqueConstraint(fields=["origin", "key"], name="ha_group_once_per_origin")]

    def __str__(self) -> str:
        return f"HA group {self.pk}"


class ProductInstance(models.Model):
    """One registration of a product. `udi` is what identifies the product: `PID:SN`, or the uuid of software."""

    # Found by the indexes that begin with them. The Smart Account is that of the Virtual Account, which is looked up.
    smart_account = models.ForeignKey(
        SmartAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    virtual_account = models.ForeignKey(
        VirtualAccount, on_delete=models.PROTECT, related_name="instances", db_index=False
    )
    origin = models.ForeignKey(Origin, on_delete=models.PROTECT, related_name="instances", db_index=False)
    external_id = models.CharField(max_length=64, help_text="the PIID, or the id an on-prem server gave")
    piid = models.UUIDField(unique=True)
    udi = models.CharField(max_length=400)
    udi_pid = models.CharField(max_length=128, blank=True)
    udi_serial_number = models.CharField(max_length=128, blank=True)
    udi_vid = models.CharField(max_length=64, blank=True)
    uuid = models.CharField(max_length=64, blank=True)
    host_identifier = models.CharField(max_length=255, blank=True)
    software_tag = models.CharField(max_length=255)
    hostname = models.CharField(max_length=255, blank=True)
    ip_address = models.CharField(max_length=64, blank=True)
    mac_address = models.CharField(max_length=64, blank=True)
    ha_group = models.ForeignKey(HaGroup, on_delete=models.PROTECT, related_name="instances", db_constraint=False)
    ha_peers = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=20, choices=[(s.value, s.badge.label) for s in InstanceState])
    is_counted = models.BooleanField(
        default=True, help_text="false for who stands by in an HA group, or whose UDI counts elsewhere"
    )
    claim_lost = models.BooleanField(default=False, help_text="its UDI counts elsewhere")
    export_controlled_allowed = models.BooleanField(default=True)
    holds_export_key = models.BooleanField(default=False, help_text="until it is returned, nobody else ends it")
    token = models.ForeignKey(IdToken, null=True, blank=True, on_delete=models.PROTECT, related_name="instances")
    registered_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    tags = models.ManyToManyField(AccountTag, blank=True, related_name="instances")

    objects = ProductInstanceQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["origin", "external_id"], name="instance_once_per_origin")]
        indexes = [
            models.Index(fields=["virtual_account", "state", "-registered_at"]),
            models.Index(fields=["smart_account", "state"]),
            models.Index(fields=["udi"]),
        ]

    def __str__(self) -> str:
        return self.udi

    @property
    def is_bound(self) -> bool:
        """Whether the product may go on using licenses whatever we do: only what it gives back is free again."""
        return self.state == InstanceState.RESERVED or self.holds_export_key

    @property
    def is_direct(self) -> bool:
        """Whether it reports here itself; an on-prem server owns its own instances."""
        return self.origin.name == Origin.DIRECT


class InstanceKey(models.Model):
    """A product's public key with the certificates issued for it; the key verifies its requests.

    A renewal's key is pending until it has signed a message. Then it is current, and the one before it stays accepted
    until `accepted_until`, or until the new one has signed more than its acknowledgement.
    """

    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="keys")
    public_key = models.BinaryField(help_text="SubjectPublicKeyInfo, DER")
    public_key_digest = models.CharField(max_length=64)
    id_cert_serial = models.CharField(max_length=40, help_text="hex, lower case, no leading zeros")
    signing_key = models.ForeignKey(StoredKey, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in KeyState], default=KeyState.CURRENT)
    is_renewal = models.BooleanField(default=False)
    not_after = models.DateTimeField()
    accepted_until = models.DateTimeField(null=True, blank=True, help_text="of a previous key")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["public_key_digest"], condition=~models.Q(state=KeyState.RETIRED), name="key_of_one_product"
            ),
            models.UniqueConstraint(
                fields=["instance"], condition=models.Q(state=KeyState.CURRENT), name="one_current_key"
            ),
            models.UniqueConstraint(
                fields=["instance"], condition=models.Q(state=KeyState.PENDING), name="one_pending_key"
            ),
        ]
        indexes = [models.Index(fields=["public_key_digest"])]

    def __str__(self) -> str:
        return self.id_cert_serial


class InstanceContact(models.Model):
    """The receipt of the last accepted message, narrow because every message rewrites it.

    The conditional update on `last_timestamp` is the replay rule, in the effect's transaction. Whoever changes the
    instance or its use otherwise than by a message of it raises `revision` first: that takes the row's lock, and makes
    a message that had read the older state start again.
    """

    instance = models.OneToOneField(
        ProductInstance, primary_key=True, on_delete=models.PROTECT, related_name="contact", db_constraint=False
    )
    last_timestamp = models.BigIntegerField(default=0)
    revision = models.BigIntegerField(default=0)
    request_digest = models.CharField(max_length=64, blank=True)
    response = models.BinaryField(null=True, help_text="the stored answer, encrypted")
    last_contact_at = models.DateTimeField()
    authorized_at = models.DateTimeField(null=True, blank=True)
    authorization_expires_at = models.DateTimeField(null=True, blank=True)
    is_overdue = models.BooleanField(default=False, help_text="its authorization has expired, and people were told")
    rate_level = models.FloatField(default=0.0)
    rate_at = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"contact of instance {self.pk}"


class InstanceWatch(models.Model):
    """When to look at an instance next: never later than what its timers may bring first, often earlier.

    Messages do not touch it, since they only ever put things off.
    """

    instance = models.OneToOneField(ProductInstance, primary_key=True, on_delete=models.PROTECT, related_name="watch")
    due_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"instance {self.pk}, due {self.due_at:%Y-%m-%d %H:%M}"


class InstanceNotice(models.Model):
    """Something of an instance's life that people are told of; it stands until `cleared_at`.

    `at` is when it came to pass, also where nobody looked that day. The dispatcher raises an alert for a notice and
    clears it again: whoever writes `cleared_at` takes `dispatched_at` back.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=20, choices=[(k.value, k.value) for k in NoticeKind])
    license = models.ForeignKey(License, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    quantity = models.BigIntegerField(default=0, db_default=0, help_text="of the license, where it is of one")
    reason = models.CharField(max_length=20, blank=True, default="", db_default="", help_text="a code")
    at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True, help_text="until when something can be done about it")
    cleared_at = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)

    objects = InstanceNoticeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "kind"],
                condition=models.Q(cleared_at__isnull=True, license__isnull=True),
                name="notice_stands_once",
            ),
            models.UniqueConstraint(
                fields=["instance", "kind", "license"],
                condition=models.Q(cleared_at__isnull=True, license__isnull=False),
                name="notice_of_license_stands_once",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(dispatched_at__isnull=True), name="notice_undispatched")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of instance {self.instance_id}"


class RegistrationReceipt(models.Model):
    """The same for registrations, per public key of the CSR."""

    public_key_digest = models.CharField(max_length=64, primary_key=True)
    last_timestamp = models.BigIntegerField()
    request_digest = models.CharField(max_length=64)
    response = models.BinaryField()
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.public_key_digest


class Usage(models.Model):
    """What an instance reports to use of one tag, now. Only `counted` rows are in a pool.

    A controller's endpoints are use of their own, beside what it reports of the same tag by itself.
    """

    # Copied from the instance, which is bound to them: a large server's file writes 300,000 of these rows, and
    # PostgreSQL would look each of their accounts and groups up on its own. A license is never deleted.
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    virtual_account = models.ForeignKey(
        VirtualAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="usage", db_index=False)
    ha_group = models.ForeignKey(
        HaGroup, on_delete=models.PROTECT, related_name="usage", db_constraint=False, db_index=False
    )
    tag = models.CharField(max_length=255)
    license = models.ForeignKey(
        License,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    kind = models.CharField(max_length=20, choices=[(k.value, k.value) for k in UsageKind])
    source = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in UsageSource], default=UsageSource.REPORT
    )
    quantity = models.BigIntegerField()
    since = models.DateTimeField()

    objects = UsageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "tag", "source"], name="usage_once"),
            models.CheckConstraint(condition=models.Q(quantity__gte=0), name="usage_not_negative"),
        ]
        indexes = [models.Index(fields=["virtual_account", "license"])]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.tag}"


class UdiClaim(models.Model):
    """Which Smart Account owns a UDI in this installation: one UDI counts once."""

    udi = models.CharField(max_length=400)
    smart_account = models.ForeignKey(
        SmartAccount, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    instance = models.ForeignKey(ProductInstance, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    last_contact_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["udi"], name="udi_claimed_once")]

    def __str__(self) -> str:
        return self.udi


class DuplicateFinding(models.Model):
    """A product that seems to be counted, or to claim licenses, twice; it stands until `cleared_at`.

    `other` is the instance that it doubles, where there is one. The dispatcher raises an alert for a finding and clears
    it again: whoever writes `cleared_at` takes `dispatched_at` back.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=30, choices=[(k.value, k.label) for k in DuplicateKind])
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="findings")
    other = models.ForeignKey(ProductInstance, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=40, blank=True, help_text="code of why, where the kind alone does not say it")
    found_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)

    objects = DuplicateFindingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "kind"], condition=models.Q(cleared_at__isnull=True), name="finding_stands_once"
            )
        ]
        indexes = [
            models.Index(fields=["virtual_account", "cleared_at"]),
            models.Index(fields=["id"], condition=models.Q(dispatched_at__isnull=True), name="finding_undispatched"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of instance {self.instance_id}"
