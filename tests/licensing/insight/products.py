"""Product instances as they come in, with a contact, for the tests of duplicates."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from accounts.models import VirtualAccount
from licensing.models import DuplicateFinding, HaGroup, InstanceContact, Origin, ProductInstance
from licensing.services.insight.duplicates import find_duplicates
from licensing.states import InstanceState

PID = "C9300-24UX"


def product(
    virtual_account: VirtualAccount,
    serial: str,
    heard: datetime | None,
    *,
    registered: datetime | None = None,
    origin: str = "direct",
    pid: str = PID,
    **values: Any,
) -> ProductInstance:
    """A registered product, heard of last at `heard` (None: never by us)."""
    place = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
    at = registered or (heard - timedelta(days=1) if heard else None)
    assert at is not None
    row = ProductInstance.objects.create(
        **place,
        origin=Origin.objects.get_or_create(name=origin)[0],
        external_id=str(uuid.uuid4()),
        piid=uuid.uuid4(),
        udi=f"{pid}:{serial}",
        udi_pid=pid,
        udi_serial_number=serial,
        ha_group=HaGroup.objects.create(created_at=at, **place),
        state=InstanceState.REGISTERED,
        registered_at=at,
        **{"software_tag": "software", **values},
    )
    if heard is not None:
        InstanceContact.objects.create(instance=row, last_contact_at=heard)
    return row


def found(now: datetime, **options: Any) -> list[tuple[str, str, str, str | None]]:
    """(UDI, kind, reason, UDI of the other) of what stands after a run."""
    find_duplicates(now=now, **options)
    rows = DuplicateFinding.objects.standing().select_related("instance", "other").order_by("instance__udi", "pk")
    return [(row.instance.udi, row.kind, row.reason, row.other.udi if row.other else None) for row in rows]
