"""The Product Instances tab and the dialog of one instance."""

from collections.abc import Mapping
from typing import Any

from django.db.models import BigIntegerField, Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.tables import TaggedFilter
from accounts.views.base import VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableView
from cssm.common.tables import BulkAction
from cssm.common.views import Crumb, PageView
from licensing.models import Endpoint, Hold, License, ProductInstance, Reservation, Usage
from licensing.services.devices.ha_groups import describe_group
from licensing.services.devices.origins import Reporter, find_reporters
from licensing.states import ACTIVE_STATES, InstanceState, KeyState, ReservationState
from licensing.tables.instances import InstanceTable, show_reporter
from licensing.views.inventory import InventoryTab

ENDED = "ended"


class InstanceFilter(TaggedFilter):
    search_fields = ("hostname", "udi", "software_tag", "ip_address", "mac_address")
    state = ChoiceFilter(
        label="Registration",
        method="with_state",
        choices=[*((s.value, s.badge.label) for s in InstanceState if s.is_active), (ENDED, "Ended")],
        empty_label="Active",
    )

    @property
    def qs(self) -> QuerySet[ProductInstance]:
        """Without a choice only instances that are registered, as the tab's count says."""
        rows: QuerySet[ProductInstance] = super().qs
        return rows if self.data.get("state") else rows.filter(state__in=ACTIVE_STATES)

    def with_state(self, queryset: QuerySet[ProductInstance], name: str, value: str) -> QuerySet[ProductInstance]:
        return queryset.filter(~Q(state__in=ACTIVE_STATES)) if value == ENDED else queryset.filter(state=value)


class InstancesTab(TableView, InventoryTab):
    tab = "instances"
    table_class = InstanceTable
    filter_class = InstanceFilter
    template_name = "licensing/tab.html"

    def get_queryset(self) -> QuerySet[ProductInstance]:
        counted = Usage.objects.counted().filter(instance=OuterRef("pk")).order_by().values("instance")
        units = counted.annotate(total=Sum("quantity")).values("total")
        holds = Hold.objects.counting_at(self.now).filter(reservation__instance=OuterRef("pk")).order_by()
        reserved = holds.values("reservation__instance").annotate(total=Sum("quantity")).values("total")
        return (
            ProductInstance.objects.visible_to(self.actor)
            .filter(virtual_account=self.virtual_account)
            .select_related("contact", "origin")
            .prefetch_related("tags")
            .annotate(
                license_units=Coalesce(Subquery(units), Value(0)),
                reserved_units=Coalesce(Subquery(reserved), Value(0), output_field=BigIntegerField()),
            )
        )

    def get_table_kwargs(self) -> dict[str, Any]:
        held = Hold.objects.counting_at(self.now).filter(virtual_account=self.virtual_account)
        may_manage = self.may(Permission.MANAGE_ASSETS)
        return {
            "va_url": self.va_url,
            "may_manage": may_manage,
            "has_reserved": held.exists(),
            "find_reporters": self._find_reporters,
        }

    def _find_reporters(self) -> Mapping[int, Reporter]:
        return find_reporters(actor=self.actor, smart_account_id=self.smart_account.pk)

    def get_bulk_actions(self) -> list[BulkAction]:
        if not self.may(Permission.MANAGE_ASSETS):
            return []
        return [
            BulkAction("Transfer", f"{self.va_url}instances/transfer/", "transfer"),
            BulkAction("Tag", f"{self.va_url}instances/tags/", "tag"),
        ]


class InstanceDialog(VirtualAccountView, PageView):
    """What is known of one instance, and what it uses."""

    permission = Permission.VIEW

    def authorize(self) -> None:
        super().authorize()
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        instance = own.select_related("contact", "token", "origin").filter(piid=self.kwargs["piid"]).first()
        if instance is None:
            raise NotFound("There is no such product instance in this Virtual Account.")
        self.instance = instance

    @property
    def template_name(self) -> str:  # type: ignore[override]  # a dialog where htmx asks, else a page of its own
        return "licensing/_instance_dialog.html" if self.wants_part else "licensing/instance_page.html"

    def get_page_title(self) -> str:
        return self.instance.hostname or self.instance.udi

    def get_crumbs(self) -> list[Crumb]:
        return [*super().get_crumbs(), Crumb("Product Instances", self.tab_url("instances"))]

    def get_context(self) -> dict[str, Any]:
        instance, contact = self.instance, getattr(self.instance, "contact", None)
        key = instance.keys.filter(state=KeyState.CURRENT).first()
        usage = Usage.objects.visible_to(self.actor).filter(instance=instance, quantity__gt=0).select_related("license")
        facts: list[tuple[str, Any]] = [
            *self._reports_through(),
            ("Product ID", instance.udi_pid),
            ("Serial number", instance.udi_serial_number),
            ("UUID", instance.uuid),
            ("Software tag", instance.software_tag),
            ("Instance ID (PIID)", instance.piid),
            ("Host name", instance.hostname),
        ]
        held = self._reservation()
        if not held:  # which connects with nothing
            facts += [
                ("IP address", instance.ip_address),
                ("MAC address", instance.mac_address),
                ("Registered with token", instance.token.description if instance.token else ""),
                ("Authorization", "Expired: it has not connected" if contact and contact.is_overdue else ""),
                ("High availability", describe_group(instance)),
            ]
        facts = [(label, value) for label, value in facts if value]
        return {
            **super().get_context(),
            "instance": instance,
            "contact": contact,
            "key": key,
            "badge_value": InstanceState(instance.state).badge,
            "facts": facts,
            "usage": usage.order_by("tag"),
            "uncounted": self._why_uncounted(),
            **held,
            **self._export_keys(),
            "endpoints": self._endpoints(),
            "va_url": self.va_url,
            "may_transfer": self._may_transfer(),
        }

    def _reports_through(self) -> list[tuple[str, Any]]:
        """The on-prem server that owns it, if one does."""
        if self.instance.is_direct:
            return []
        known = find_reporters(actor=self.actor, smart_account_id=self.smart_account.pk)
        return [("Reports through", show_reporter(known.get(self.instance.origin_id)))]

    def _reservation(self) -> dict[str, Any]:
        """Where the product has its licenses by reservation."""
        own = Reservation.objects.visible_to(self.actor).filter(instance=self.instance)
        reservation = own.requested().first()
        if reservation is None:
            return {}
        held = Hold.objects.counting_at(self.now).filter(reservation=reservation).select_related("license", "line")
        return {
            "reservation": reservation,
            "reservation_state": ReservationState(reservation.state).badge,
            "held": held.order_by("license__display_name", "pk"),
        }

    def _why_uncounted(self) -> str:
        """Why nothing of it counts, whatever it reports; empty where it does."""
        instance = self.instance
        if instance.is_counted or not InstanceState(instance.state).is_active:
            return ""
        if instance.claim_lost:
            return "no: the product counts elsewhere"
        return "no: another member of its group reports"

    def _may_transfer(self) -> bool:
        """Where one of an on-prem server is, the server says."""
        instance = self.instance
        is_active = InstanceState(instance.state).is_active
        return is_active and instance.is_direct and self.may(Permission.MANAGE_ASSETS)

    def _endpoints(self) -> list[dict[str, Any]]:
        """What it sees behind it that uses licenses, by kind: how many, and how many of them it counts."""
        seen = Endpoint.objects.visible_to(self.actor).filter(instance=self.instance).order_by()
        kinds = seen.values("type", "tag").annotate(
            seen=Count("pk"), counted=Count("pk", filter=Q(is_counted=True)), since=Min("since")
        )
        names = dict(License.objects.filter(tag__in=seen.values("tag")).values_list("tag", "display_name"))
        return [{**kind, "license": names.get(kind["tag"], kind["tag"])} for kind in kinds.order_by("type", "tag")]

    def _export_keys(self) -> dict[str, Any]:
        """What it may use under export control by keys that it asked for, one row for each key."""
        keys = Reservation.objects.visible_to(self.actor).active().export_keys().filter(instance=self.instance)
        held = Hold.objects.counting_at(self.now).filter(reservation__in=keys).order_by()
        rows = held.values("reservation").annotate(
            license=F("license__display_name"),
            quantity=Sum("quantity"),
            end=Min("line__end"),
            since=F("reservation__created_at"),
        )
        return {"export_keys": list(rows.order_by("license", "reservation"))}
