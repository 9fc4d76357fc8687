"""What can be owned: software tags, licenses and the families that connect them (ISO/IEC 19770-2 and -3 tags)."""

from django.db import models

from licensing.states import Billing, LicenseType


class CatalogHead(models.Model):
    """One row: what an import locks, and the number of the catalog's present state, by which caches know theirs."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="catalog_has_one_head")]

    def __str__(self) -> str:
        return f"catalog version {self.version}"


class SoftwareTag(models.Model):
    """An ISO 19770-2 tag of a product's software. `short_hash` is what a reservation request code carries of it."""

    tag = models.CharField(max_length=255, unique=True)
    short_hash = models.CharField(max_length=8, db_index=True)
    product_ids = models.TextField(blank=True, help_text="PIDs seen with this software, separated by blanks")

    def __str__(self) -> str:
        return self.tag


class LicenseFamily(models.Model):
    """The licenses connected by "higher"; one without any is a family of one. With a VA it is what a lock covers."""

    name = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.name


class License(models.Model):
    """What an entitlement tag names."""

    tag = models.CharField(max_length=255, unique=True)
    family = models.ForeignKey(LicenseFamily, on_delete=models.PROTECT, related_name="licenses")
    higher = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="lower")
    display_name = models.CharField(max_length=255)
    description = models.CharField(max_length=500, blank=True)
    feature_name = models.CharField(max_length=255, blank=True)
    default_type = models.CharField(max_length=20, choices=[(t.value, t.label) for t in LicenseType])
    billing = models.CharField(max_length=10, choices=[(b.value, b.value) for b in Billing], default=Billing.PREPAID)
    enforcement = models.CharField(max_length=100, blank=True)
    export_restricted = models.BooleanField(default=False)
    product_ids = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["display_name"])]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(higher__isnull=True) | ~models.Q(higher=models.F("id")),
                name="license_not_own_higher",
            )
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def is_unlimited(self) -> bool:
        """Use without limit is a matter of billing alone; NOT ENFORCED does not mean unlimited."""
        return self.billing == Billing.USAGE


class HierarchyVersion(models.Model):
    """Which license of a family stands in for which, as of one change of the catalog; never edited, only followed.

    `higher` maps the id of a license, as text, to the id of the next higher one that can stand in for it; topmost
    licenses are absent.
    """

    family = models.ForeignKey(LicenseFamily, on_delete=models.PROTECT, related_name="hierarchies")
    number = models.PositiveIntegerField()
    higher = models.JSONField(default=dict)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=12)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True, help_text="empty for a person, whose name is personal")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["family", "number"], name="hierarchy_version_once")]

    def __str__(self) -> str:
        return f"hierarchy {self.family_id}/{self.number}"


class LicenseChange(models.Model):
    """A license changed its family, hierarchy or billing, and its pools must follow, VA by VA. Drained by the fold."""

    license = models.ForeignKey(License, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"change of license {self.license_id}"
