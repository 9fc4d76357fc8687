"""Celery wrappers."""

from celery import shared_task

from cssm.common.clock import read_clock
from pki.services import ca_log, crls, issuance, key_pool, root_queue


@shared_task(name="pki.fill_key_pool")
def fill_key_pool() -> None:
    key_pool.fill_key_pool(now=read_clock())


@shared_task(name="pki.seal_ca_log")
def seal_ca_log() -> None:
    ca_log.seal_ca_log(now=read_clock())


@shared_task(name="pki.void_stale_intents")
def void_stale_intents() -> None:
    issuance.void_stale_intents(now=read_clock())


@shared_task(name="pki.make_crls")
def make_crls() -> None:
    crls.make_crls(now=read_clock())


@shared_task(name="pki.make_root_crl")
def make_root_crl() -> None:
    crls.make_root_crl(now=read_clock())


@shared_task(name="pki.sign_root_requests")
def sign_root_requests() -> None:
    root_queue.sign_due(now=read_clock())
