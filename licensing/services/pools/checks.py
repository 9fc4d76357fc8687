"""The nightly comparison of all figures with the records they follow from. A difference raises an alarm."""

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from accounts.models import User
from cssm.common.actor import Actor
from cssm.common.jobs import nudge
from cssm.common.leases import lease
from cssm.common.permissions import Permission
from licensing.models import Pool, PoolCheck
from licensing.services.pools.rebuild import check_pools

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(hours=24)
QUIET_HOUR: Final = 2
"""UTC. A check that is a day old waits for this hour; one that is two days old, or the first, does not."""

KEPT: Final = timedelta(days=400)
LISTED: Final = 200
LEASE_SECONDS: Final = 3600
ALARM_TASK: Final = "licensing.send_check_alarms"
RETRY_AFTER: Final = timedelta(minutes=15)


def check_figures_when_due(*, now: datetime) -> int:
    """Run the nightly check where it is due; returns how many pools were compared (0: not due, or running)."""
    last = PoolCheck.objects.order_by("-at").values_list("at", flat=True).first()
    if last is not None:
        age = now - last
        if age < EVERY - timedelta(hours=1) or (age < 2 * EVERY and now.hour != QUIET_HOUR):
            return 0
    with lease("licensing.check_figures", now=now, seconds=LEASE_SECONDS) as obtained:
        return run_check(now=now).pools if obtained else 0


def request_check(*, actor: Actor, now: datetime) -> PoolCheck:
    """The same at an operator's wish. Raises `Forbidden`."""
    actor.require(Permission.OPERATE)
    return run_check(now=now)


def run_check(*, now: datetime) -> PoolCheck:
    """Compare everything, keep the result, and see that operators are told of differences. Changes no figure."""
    began = time.monotonic()
    found = check_pools(now=now)
    with transaction.atomic():
        PoolCheck.objects.filter(at__lt=now - KEPT).delete()
        check = PoolCheck.objects.create(
            at=now,
            pools=Pool.objects.count(),
            milliseconds=round((time.monotonic() - began) * 1000),
            difference_count=len(found),
            differences=[
                {**each.as_dict(), "stored": str(each.stored), "recorded": str(each.recorded)}
                for each in found[:LISTED]
            ],
            mail_due_at=now if found else None,
        )
        if found:
            log.error("figures_differ_from_records", check=check.pk, differences=len(found))
            nudge(ALARM_TASK)
    return check


def last_check() -> PoolCheck | None:
    return PoolCheck.objects.order_by("-at", "-pk").first()


def send_check_alarms(*, now: datetime) -> int:
    """Mail every operator about checks that found differences; returns how many mails were sent."""
    sent = 0
    for pk in list(PoolCheck.objects.filter(mail_due_at__lte=now).order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            # The next attempt is written down first: a crash while sending waits for its time.
            mine = PoolCheck.objects.filter(pk=pk, mail_due_at__lte=now).update(mail_due_at=now + RETRY_AFTER)
        if mine:
            sent += _send(PoolCheck.objects.get(pk=pk))
    return sent


def _send(check: PoolCheck) -> int:
    operators = list(User.objects.filter(is_staff=True, is_active=True).order_by("pk").values_list("email", flat=True))
    host = settings.PUBLIC_URL.split("//")[-1].split("/")[0].split(":")[0]
    body = render_to_string("email/figures_differ.txt", {"check": check, "url": settings.PUBLIC_URL})
    try:
        for number, address in enumerate(operators):
            EmailMessage(
                subject=f"Figures differ from the records in {check.difference_count} places",
                body=body,
                to=[address],
                headers={"Message-ID": f"<pool-check-{check.pk}-{number}@{host}>", "Auto-Submitted": "auto-generated"},
            ).send()
    except OSError as error:  # smtplib's errors are OSErrors too
        log.warning("check_alarm_failed", check=check.pk, error=type(error).__name__)
        return 0
    with transaction.atomic():
        PoolCheck.objects.filter(pk=check.pk).update(mail_due_at=None)
    return len(operators)
