"""What `/metrics` tells: requests of this process, and how the installation's work stands, read as it is asked for."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from accounts.models import AccessRequest, Event
from alerts.models import Alert, Delivery
from cssm.common.clock import read_clock
from cssm.common.middleware import parse_address
from licensing.models import Pool, PoolDelta, PoolTransition, ProductInstance
from licensing.states import ACTIVE_STATES, Compliance
from pki.models import CaLogEntry, PooledKey, SigningRequest
from pki.states import RequestState

FORWARDING: Final = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)
"""A request that carries one of these came through a proxy: its loopback address is the proxy's."""

WORK: Final[dict[str, Callable[[datetime], int]]] = {
    "unfolded use": lambda now: PoolDelta.objects.count(),
    "undispatched transitions": lambda now: PoolTransition.objects.filter(dispatched_at=None).count(),
    "due messages": lambda now: Delivery.objects.due(now).count(),
    "due answers to requesters": lambda now: AccessRequest.objects.filter(mail_due_at__lte=now).count(),
    "unsealed events": lambda now: Event.objects.unsealed().count(),
    "unsealed CA log entries": lambda now: CaLogEntry.objects.filter(batch=None).count(),
    "open signing intents": lambda now: SigningRequest.objects.filter(state=RequestState.PENDING).count(),
}


class Installation(Collector):
    """Totals over all tenants, and no name of any."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = read_clock()
        waiting = GaugeMetricFamily(
            "portal_waiting_rows", "Rows that a periodic job has still to work on.", labels=["work"]
        )
        for work, count in WORK.items():
            waiting.add_metric([work], count(now))
        yield waiting
        yield GaugeMetricFamily("portal_signing_keys_ready", "Signing keys made ahead.", PooledKey.objects.count())
        yield GaugeMetricFamily("portal_signing_keys_wanted", "KEY_POOL_SIZE.", settings.KEY_POOL_SIZE)
        instances = GaugeMetricFamily("portal_product_instances", "Product instances in use.", labels=["state"])
        active = ProductInstance.objects.filter(state__in=ACTIVE_STATES).values_list("state")
        for state, number in active.annotate(number=Count("pk")).order_by("state"):
            instances.add_metric([state], number)
        yield instances
        short = Pool.objects.filter(status=Compliance.OUT_OF_COMPLIANCE).count()
        yield GaugeMetricFamily("portal_pools_out_of_compliance", "License pools that are short.", short)
        yield GaugeMetricFamily("portal_alerts_standing", "Alerts not cleared.", Alert.objects.standing().count())


def may_read_metrics(request: HttpRequest) -> bool:
    """This machine itself, unless a proxy on it speaks for somebody else; or whoever has `METRICS_TOKEN`."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return constant_time_compare(given.strip(), settings.METRICS_TOKEN)
    address = parse_address(request.META.get("REMOTE_ADDR", ""))
    return address is not None and address.is_loopback and not any(name in request.META for name in FORWARDING)


def render_metrics(request: HttpRequest) -> bytes:
    """All figures in Prometheus' text format; those of all web processes where PROMETHEUS_MULTIPROC_DIR is set."""
    installation = CollectorRegistry(auto_describe=False)
    installation.register(Installation())
    processes: bytes = ExportToDjangoView(request).content
    return processes + generate_latest(installation)
