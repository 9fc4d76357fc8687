"""For load balancers and supervisors: is the process alive, and can it do its work."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from cssm.common.middleware import refuse
from cssm.common.permissions import Access
from cssm.common.views import PortalView
from cssm.portal.metrics import may_read_metrics, render_metrics
from cssm.portal.readiness import check_parts


class Live(PortalView):
    """`/healthz`: the process answers. Touches nothing else."""

    permission = Access.PUBLIC

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return JsonResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


class Ready(PortalView):
    """`/readyz`: 200 if database, broker and keys can be used, else 503; the answer names each part."""

    permission = Access.PUBLIC

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        parts = check_parts()
        ready = all(part["ok"] for part in parts.values())
        return JsonResponse(
            {"status": "ok" if ready else "unavailable", "parts": parts},
            status=200 if ready else 503,
            headers={"Cache-Control": "no-store"},
        )


class Metrics(PortalView):
    """`/metrics`: figures for Prometheus, to this machine or to whoever shows `METRICS_TOKEN`; 403 to others."""

    permission = Access.PUBLIC

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not may_read_metrics(request):
            return refuse(
                request, 403, "FORBIDDEN", "Metrics are shown on this machine, or with METRICS_TOKEN as bearer."
            )
        return HttpResponse(
            render_metrics(request), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
        )
