"""The one table of periodic work: it feeds the beat and `manage.py sweep`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Job:
    """`service(now=…)` does everything that is due, in the foreground, and returns how many rows it worked on.

    It is named and not imported, for Celery reads this table before the apps are loaded.
    """

    task: str
    every: timedelta
    queue: str
    service: str
    limit: int | None = None

    def run(self, *, now: datetime) -> int:
        """In the foreground; with `limit` only so many rows, for who waits for a whole sweep."""
        arguments = {} if self.limit is None else {"limit": self.limit}
        done: int = import_string(self.service)(now=now, **arguments)
        return done


JOBS: Final[tuple[Job, ...]] = (
    Job("licensing.advance_lives", timedelta(minutes=1), "default", "licensing.services.devices.lives.advance_lives"),
    Job("licensing.fold_pools", timedelta(seconds=1), "default", "licensing.services.pools.fold.fold_due"),
    Job(
        "licensing.make_term_notices",
        timedelta(minutes=5),
        "default",
        "licensing.services.ownership.terms.make_term_notices",
    ),
    Job(
        "licensing.find_duplicates",
        timedelta(minutes=1),
        "default",
        "licensing.services.insight.duplicates.find_duplicates",
    ),
    Job(
        "licensing.sign_reservations",
        timedelta(seconds=30),
        "default",
        "licensing.services.reservations.issuing.sign_unsigned_codes",
    ),
    Job(
        "licensing.expire_reservations",
        timedelta(seconds=30),
        "default",
        "licensing.services.reservations.expiry.expire_reservations",
    ),
    Job(
        "licensing.look_at_refused_keys",
        timedelta(minutes=5),
        "default",
        "licensing.services.reservations.refused_keys.look_again",
    ),
    Job(
        "licensing.carry_out_conversions",
        timedelta(seconds=5),
        "default",
        "licensing.services.exchange.conversions.carry_out_due",
    ),
    Job(
        "licensing.forget_answers", timedelta(hours=1), "default", "licensing.services.exchange.polling.forget_answers"
    ),
    Job(
        "licensing.name_meters",
        timedelta(minutes=10),
        "default",
        "licensing.services.exchange.rum.metering.name_meters",
    ),
    Job("pki.sign_root_requests", timedelta(minutes=1), "root-ca", "pki.services.root_queue.sign_due"),
    Job("sync.work_exchanges", timedelta(seconds=5), "sync", "sync.services.queue.work_exchanges"),
    Job("sync.tell_signed", timedelta(minutes=1), "default", "sync.services.three_tier.tell_signed"),
    Job("sync.watch_deadlines", timedelta(minutes=10), "default", "sync.services.deadlines.watch_deadlines"),
    Job("sync.delete_old_files", timedelta(hours=1), "default", "sync.services.queue.delete_old_files"),
    Job("alerts.dispatch", timedelta(seconds=1), "default", "alerts.services.dispatch.dispatch"),
    Job("alerts.send_due_mail", timedelta(seconds=2), "mail", "alerts.services.mail.send_due_mail"),
    Job("alerts.send_daily_summaries", timedelta(minutes=10), "mail", "alerts.services.mail.send_daily_summaries"),
    Job(
        "accounts.send_access_request_mails",
        timedelta(seconds=10),
        "mail",
        "accounts.services.access_requests.send_access_request_mails",
    ),
    Job(
        "licensing.check_figures",
        timedelta(minutes=10),
        "default",
        "licensing.services.pools.checks.check_figures_when_due",
    ),
    Job(
        "licensing.send_check_alarms",
        timedelta(minutes=1),
        "mail",
        "licensing.services.pools.checks.send_check_alarms",
    ),
    Job(
        "licensing.compact_history",
        timedelta(hours=1),
        "default",
        "licensing.services.pools.compaction.compact_history",
    ),
    Job("accounts.seal_events", timedelta(seconds=30), "default", "accounts.services.events.sealing.seal_events"),
    Job("pki.seal_ca_log", timedelta(seconds=30), "default", "pki.services.ca_log.seal_ca_log"),
    Job("pki.fill_key_pool", timedelta(seconds=10), "default", "pki.services.key_pool.fill_key_pool", limit=20),
    Job("common.purge_answers", timedelta(hours=1), "default", "cssm.common.idempotency.purge_expired_answers"),
    Job("pki.make_crls", timedelta(minutes=1), "default", "pki.services.crls.make_crls"),
    Job("pki.make_root_crl", timedelta(minutes=10), "root-ca", "pki.services.crls.make_root_crl"),
    Job("pki.void_stale_intents", timedelta(minutes=5), "default", "pki.services.issuance.void_stale_intents"),
)


def beat_schedule() -> dict[str, dict[str, Any]]:
    """The table in the shape of Celery's `beat_schedule`; a message not taken before the next one is due expires."""
    return {
        job.task: {
            "task": job.task,
            "schedule": job.every,
            "options": {"queue": job.queue, "expires": max(job.every.total_seconds(), 5)},
        }
        for job in JOBS
    }


def task_routes() -> dict[str, dict[str, str]]:
    return {job.task: {"queue": job.queue} for job in JOBS}


def run_all(*, now: datetime) -> dict[str, int]:
    """Run every job once; the order is the table's, which follows cause and effect (figures, alerts, mail)."""
    return {job.task: job.run(now=now) for job in JOBS}
