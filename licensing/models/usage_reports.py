"""Usage reports (ISO/IEC 19770-4), kept byte for byte, and what they say of each day."""

from typing import ClassVar

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from licensing.models.catalog import License
from licensing.models.devices import ProductInstance
from licensing.querysets.usage_reports import MeteredDayQuerySet, RumReportQuerySet, RumUploadQuerySet
from licensing.states import RumChannel


class Meter(models.Model):
    """The use of one license by one product. The row is what is locked while its reports and days change.

    `license` is null while the catalog does not know the tag; the next report looks again.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    udi = models.CharField(max_length=400)
    tag = models.CharField(max_length=255)
    license = models.ForeignKey(License, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["smart_account", "udi", "tag"], name="meter_once")]

    def __str__(self) -> str:
        return f"{self.udi}: {self.tag}"


class RumUpload(models.Model):
    """Reports that a person or program handed in together. `results` tell what became of each, in their order.

    `poll_id` is how the program that sent them asks for the acknowledgements.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    channel = models.CharField(max_length=10, choices=[(c.value, c.label) for c in RumChannel])
    file_name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    created_by_kind = models.CharField(max_length=12)
    created_by_id = models.CharField(max_length=64, blank=True)
    created_by_label = models.CharField(max_length=255, blank=True)
    poll_id = models.BigIntegerField(null=True, blank=True, unique=True)
    results = models.JSONField(default=list)

    objects = RumUploadQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["smart_account", "-id"])]

    def __str__(self) -> str:
        return f"usage reports {self.pk}"


class RumReport(models.Model):
    """One report as it came: `payload` is the exact text. Append-only, but for the mark that a later report of the same
    id (a product sends an open one again, longer) has taken its place.

    `unmeasured_seconds` is how much of the time from `period_start` to `period_end` it does not tell of. One that is
    not counted is kept and metered nowhere: the product stood by for another.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="reports")
    instance = models.ForeignKey(ProductInstance, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    udi = models.CharField(max_length=400)
    report_id = models.BigIntegerField()
    payload = models.TextField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the payload")
    header = models.TextField(blank=True)
    signing_type = models.CharField(max_length=64)
    signing_key = models.CharField(max_length=1024, blank=True)
    signature = models.TextField(blank=True)
    is_verified = models.BooleanField(help_text="by a key that we certified for this product")
    is_counted = models.BooleanField(default=True)
    is_closed = models.BooleanField()
    channel = models.CharField(max_length=10, choices=[(c.value, c.label) for c in RumChannel])
    upload = models.ForeignKey(RumUpload, null=True, blank=True, on_delete=models.PROTECT, related_name="reports")
    software_tag = models.CharField(max_length=255)
    software_version = models.CharField(max_length=64, blank=True)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    unmeasured_seconds = models.BigIntegerField()
    peak = models.BigIntegerField(help_text="the highest count in it")
    received_at = models.DateTimeField()
    supersedes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    superseded_at = models.DateTimeField(null=True, blank=True)

    objects = RumReportQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["smart_account", "udi", "report_id"],
                condition=models.Q(superseded_at__isnull=True),
                name="rum_report_once",
            )
        ]
        indexes = [
            models.Index(fields=["meter", "period_start"]),
            models.Index(fields=["smart_account", "-period_end"]),
            models.Index(fields=["virtual_account", "-period_end"]),
        ]

    def __str__(self) -> str:
        return f"usage report {self.report_id} of {self.udi}"


class RumMeasurement(models.Model):
    """How many were in use from `start` until just before `end`; null where the measurement counts no licenses."""

    report = models.ForeignKey(RumReport, on_delete=models.PROTECT, related_name="measurements")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    start = models.DateTimeField()
    end = models.DateTimeField()
    quantity = models.BigIntegerField(null=True)
    samples = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=64, blank=True, help_text="why it ended")

    class Meta:
        ordering: ClassVar = ["start", "pk"]
        indexes = [models.Index(fields=["meter", "end"])]
        constraints = [
            models.CheckConstraint(condition=models.Q(end__gte=models.F("start")), name="rum_measurement_in_order"),
            models.CheckConstraint(condition=models.Q(quantity__gte=0), name="rum_measurement_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} from {self.start} to {self.end}"


class MeteredDay(models.Model):
    """What a meter counted on one day (UTC) in one Virtual Account: derived from the measurements, and made anew with
    each report that touches the day. Where measurements overlap the highest counts, once."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="days")
    day = models.DateField()
    unit_seconds = models.BigIntegerField(help_text="count × seconds")
    peak = models.BigIntegerField()
    covered_seconds = models.IntegerField(help_text="of the day, for which there are measurements")

    objects = MeteredDayQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["meter", "virtual_account", "day"], name="metered_day_once"),
            models.CheckConstraint(
                condition=models.Q(
                    unit_seconds__gte=0, peak__gte=0, covered_seconds__gte=0, covered_seconds__lte=86400
                ),
                name="metered_day_in_range",
            ),
        ]
        indexes = [
            models.Index(fields=["smart_account", "day"]),
            models.Index(fields=["virtual_account", "day"]),
        ]

    def __str__(self) -> str:
        return f"{self.unit_seconds} on {self.day}"
