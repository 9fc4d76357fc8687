"""Reservations: licenses set aside for one product that never speaks here (white paper, License Reservation)."""

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from licensing.models.catalog import License
from licensing.models.devices import ProductInstance
from licensing.models.ownership import PurchaseLine
from licensing.querysets.reservations import (
    AuthorizationCodeQuerySet,
    HoldQuerySet,
    ReservationQuerySet,
    ReservationTransitionQuerySet,
)
from licensing.states import (
    ACTIVE_RESERVATIONS,
    AuthorizationState,
    LicenseType,
    ReservationCause,
    ReservationKind,
    ReservationState,
)


class Reservation(models.Model):
    """What one product holds. The product is a product instance in state `reserved`; its PIID is the reservation's.
    That of an export key is a registered product, which may hold one key for each license.

    `rehosted_from` is the reservation of the failed product that this one replaces. `is_shared`: there was no surplus
    for both, so the licenses are counted once, under the failed product's reservation, until that one is returned.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="reservations")
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="reservations")
    kind = models.CharField(max_length=10, choices=[(k.value, k.label) for k in ReservationKind])
    state = models.CharField(max_length=20, choices=[(s.value, s.label) for s in ReservationState])
    request_code = models.CharField(max_length=300, help_text="of an export key a name of ours")
    sequence = models.CharField(max_length=1, blank=True, help_text="the second letter of the request code")
    udi = models.CharField(max_length=400)
    rehosted_from = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="rehosted_to"
    )
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    state_since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    returned_at = models.DateTimeField(null=True, blank=True, help_text="also of one that was rehosted before")

    objects = ReservationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["smart_account", "request_code"], name="reservation_once_per_request"),
            models.UniqueConstraint(
                fields=["udi"],
                condition=models.Q(state__in=sorted(ACTIVE_RESERVATIONS)) & ~models.Q(kind=ReservationKind.EXPORT),
                name="reservation_once_per_product",
            ),
            models.UniqueConstraint(
                fields=["instance"],
                condition=~models.Q(kind=ReservationKind.EXPORT),
                name="reservation_once_per_instance",
            ),
        ]
        indexes = [
            models.Index(fields=["virtual_account", "state", "-created_at"]),
            models.Index(fields=["smart_account", "state"]),
            models.Index(fields=["udi"], condition=models.Q(returned_at__isnull=False), name="reservation_returned"),
        ]

    def __str__(self) -> str:
        return self.udi

    @property
    def path(self) -> str:
        """Of the page that shows it, below that of its Virtual Account."""
        place = "instances" if self.kind == ReservationKind.EXPORT else "reservations"
        return f"{place}/{self.instance.piid}/"


class AuthorizationCode(models.Model):
    """One code that was issued for a reservation: the first, or that of an update.

    The row is the intent; `sealed` is the signed code, encrypted, null until it has been signed. What is `outstanding`
    may be in the product: its confirmation supersedes those before it.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="codes")
    timestamp = models.BigIntegerField(help_text="Unix time in ms; grows with each code of the reservation")
    state = models.CharField(
        max_length=15,
        choices=[(s.value, s.badge.label) for s in AuthorizationState],
        default=AuthorizationState.OUTSTANDING,
    )
    takes_away = models.BooleanField(default=False, help_text="something is released once it is confirmed")
    sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)

    objects = AuthorizationCodeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["reservation", "timestamp"], name="authorization_timestamp_grows")
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(sealed__isnull=True), name="authorization_unsigned"),
        ]

    def __str__(self) -> str:
        return f"code {self.timestamp} of reservation {self.reservation_id}"


class AuthorizedLicense(models.Model):
    """What a code entitles its product to, with the line it is drawn on; without one where billing is by usage."""

    code = models.ForeignKey(AuthorizationCode, on_delete=models.PROTECT, related_name="contents")
    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(PurchaseLine, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    quantity = models.BigIntegerField()
    license_type = models.CharField(max_length=20, choices=[(t.value, t.label) for t in LicenseType])
    start = models.DateTimeField(null=True, blank=True)
    end = models.DateTimeField(null=True, blank=True)
    subscription_id = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(quantity__gt=0), name="authorized_quantity_positive")]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.license_id}"


class Hold(models.Model):
    """So much of a line is reserved: what counts in the pool, until the reservation gives it up or the line ends.

    While updates are outstanding it is the most that any of the outstanding codes entitles to. `ended_at` is the end of
    the line, once the fold has taken it out of the pool.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="holds")
    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(PurchaseLine, null=True, blank=True, on_delete=models.PROTECT, related_name="holds")
    quantity = models.BigIntegerField()
    since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = HoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="hold_quantity_positive"),
            models.UniqueConstraint(fields=["reservation", "line"], name="hold_once_per_line"),
            models.UniqueConstraint(
                fields=["reservation", "license"], condition=models.Q(line__isnull=True), name="hold_once_without_line"
            ),
        ]
        indexes = [
            models.Index(
                fields=["virtual_account", "license"], condition=models.Q(ended_at__isnull=True), name="hold_of_pool"
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.license_id}"


class ReservationTransition(models.Model):
    """A reservation came to be or moved on; alerts read these rows. `quantity` is what it holds from then on."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="transitions")
    old = models.CharField(max_length=20, blank=True, choices=[(s.value, s.label) for s in ReservationState])
    new = models.CharField(max_length=20, choices=[(s.value, s.label) for s in ReservationState])
    cause = models.CharField(max_length=20, choices=[(c.value, c.value) for c in ReservationCause])
    quantity = models.BigIntegerField(default=0)
    released = models.BigIntegerField(default=0)
    at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True, blank=True)

    objects = ReservationTransitionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(dispatched_at__isnull=True), name="reservation_undispatched"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"
