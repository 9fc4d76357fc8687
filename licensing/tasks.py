"""Celery's way to the services of licensing."""

from celery import shared_task

from cssm.common.clock import read_clock
from licensing.services.devices.lives import advance_lives
from licensing.services.exchange.conversions import carry_out_due
from licensing.services.exchange.polling import forget_answers
from licensing.services.exchange.rum.metering import name_meters
from licensing.services.insight.duplicates import find_duplicates
from licensing.services.ownership.terms import make_term_notices
from licensing.services.pools import checks
from licensing.services.pools.compaction import compact_history
from licensing.services.pools.fold import fold_due
from licensing.services.reservations.expiry import expire_reservations
from licensing.services.reservations.issuing import sign_unsigned_codes
from licensing.services.reservations.refused_keys import look_again


@shared_task(name="licensing.fold_pools")
def fold_pools() -> None:
    fold_due(now=read_clock())


@shared_task(name="licensing.find_duplicates")
def look_for_duplicates() -> None:
    find_duplicates(now=read_clock())


@shared_task(name="licensing.advance_lives")
def let_time_pass() -> None:
    advance_lives(now=read_clock())


@shared_task(name="licensing.make_term_notices")
def tell_of_terms() -> None:
    make_term_notices(now=read_clock())


@shared_task(name="licensing.name_meters")
def learn_of_licenses() -> None:
    name_meters(now=read_clock())


@shared_task(name="licensing.check_figures")
def check_figures() -> None:
    checks.check_figures_when_due(now=read_clock())


@shared_task(name="licensing.send_check_alarms")
def send_check_alarms() -> None:
    checks.send_check_alarms(now=read_clock())


@shared_task(name="licensing.compact_history")
def shorten_history() -> None:
    compact_history(now=read_clock())


@shared_task(name="licensing.sign_reservations")
def sign_reservations() -> None:
    sign_unsigned_codes(now=read_clock())


@shared_task(name="licensing.expire_reservations")
def end_reservations() -> None:
    expire_reservations(now=read_clock())


@shared_task(name="licensing.look_at_refused_keys")
def look_at_refused_keys() -> None:
    look_again(now=read_clock())


@shared_task(name="licensing.carry_out_conversions")
def convert_licenses() -> None:
    carry_out_due(now=read_clock())


@shared_task(name="licensing.forget_answers")
def drop_old_answers() -> None:
    forget_answers(now=read_clock())
