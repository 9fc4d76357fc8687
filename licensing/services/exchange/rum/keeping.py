"""Keeping what was planned: the reports with their measurements, and the days that they touch."""

from collections.abc import Sequence
from datetime import UTC, datetime

from licensing.models import Meter, RumMeasurement, RumReport, RumUpload
from licensing.services.devices.answers import Contended
from licensing.services.exchange.rum.metering import lock_meters, measured_seconds, meter_days
from licensing.services.exchange.rum.planning import New, Plan, find_current
from licensing.states import RumChannel


def keep_reports(*, plan: Plan, channel: RumChannel, upload: RumUpload | None = None, now: datetime) -> list[RumReport]:
    """Write what is new, in the caller's transaction.

    Raises `Contended` where another report of the same id came first: then plan anew.
    """
    if not plan.new:
        return []
    meters = lock_meters(new.judged.meter_key for new in plan.new)
    current = find_current(new.judged.key for new in plan.new)
    if any(current.get(new.judged.key) != plan.found[new.judged.key] for new in plan.new):
        raise Contended
    touched: dict[int, tuple[Meter, datetime, datetime]] = {}
    kept = []
    for new in plan.new:
        meter = meters[new.judged.meter_key]
        replaced = current.get(new.judged.key)
        if replaced is not None:
            RumReport.objects.filter(pk=replaced).update(superseded_at=now)
        report = _keep(new, meter, replaced, channel, upload, now)
        current[new.judged.key] = report.pk
        kept.append(report)
        # What it replaces lies within it: a report only ever grows.
        _, start, end = touched.get(meter.pk, (meter, report.period_start, report.period_end))
        touched[meter.pk] = (meter, min(start, report.period_start), max(end, report.period_end))
    for meter, start, end in touched.values():
        meter_days(meter, start=start, end=end)
    return kept


def _keep(
    new: New, meter: Meter, replaced: int | None, channel: RumChannel, upload: RumUpload | None, now: datetime
) -> RumReport:
    payload, submitted = new.judged.payload, new.judged.submitted
    counts = [one.quantity for one in payload.measurements if one.quantity is not None]
    report = RumReport.objects.create(
        smart_account_id=new.judged.source.smart_account_id,
        virtual_account_id=new.virtual_account_id,
        meter=meter,
        instance_id=new.judged.source.instance_id,
        udi=payload.udi,
        report_id=payload.report_id,
        payload=payload.text,
        digest=payload.digest,
        header=submitted.header,
        signing_type=submitted.signature.signing_type,
        signing_key=submitted.signature.key,
        signature=submitted.signature.value,
        is_verified=new.judged.is_verified,
        is_counted=not payload.is_standby,
        is_closed=payload.is_closed,
        channel=channel,
        upload=upload,
        software_tag=payload.software_tag,
        software_version=payload.software_version,
        period_start=_moment(payload.start),
        period_end=_moment(payload.end),
        unmeasured_seconds=payload.end
        - payload.start
        - measured_seconds((one.start, one.end) for one in payload.measurements),
        peak=max(counts, default=0),
        received_at=now,
        supersedes_id=replaced,
    )
    RumMeasurement.objects.bulk_create(_measurements(new, report, meter))
    return report


def _measurements(new: New, report: RumReport, meter: Meter) -> Sequence[RumMeasurement]:
    return [
        RumMeasurement(
            report=report,
            meter=meter,
            start=_moment(one.start),
            end=_moment(one.end),
            quantity=one.quantity,
            samples=one.samples,
            reason=one.reason,
        )
        for one in new.judged.payload.measurements
    ]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
