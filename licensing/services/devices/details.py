"""What a product tells of itself beside its use: where it is, who stands in for it, what runs on it."""

from datetime import datetime
from typing import Any, Final

from accounts.services.events import record_event
from licensing.codecs.device_data import Whereabouts
from licensing.models import ProductInstance
from licensing.services.devices.sessions import Session

DETAILS: Final = {
    "hostname": "host name",
    "ip_address": "IP address",
    "mac_address": "MAC address",
    "ha_peers": "list of high-availability peers",
    "software_tag": "software",
}
_PERSONAL: Final = frozenset({"hostname", "ip_address", "mac_address"})


def find_new_details(*, session: Session, whereabouts: Whereabouts, software_tag: str | None = None) -> dict[str, Any]:
    """What a message tells that differs from what is known. Absent is the same as empty, and erases that."""
    reported: dict[str, Any] = {
        "hostname": whereabouts.hostname or "",
        "ip_address": whereabouts.ip_address or "",
        "mac_address": whereabouts.mac_address or "",
        "ha_peers": whereabouts.peer_udis,
    }
    if software_tag is not None:
        reported["software_tag"] = software_tag
    return {name: value for name, value in reported.items() if value != getattr(session, name)}


def write_details(
    *, session: Session, whereabouts: Whereabouts, software_tag: str | None = None, now: datetime
) -> None:
    """Host name, addresses and peers, in the transaction that accepted the message. Writes nothing where nothing is
    new."""
    changed = find_new_details(session=session, whereabouts=whereabouts, software_tag=software_tag)
    if not changed:
        return
    ProductInstance.objects.filter(pk=session.instance_id).update(**changed)
    record_event(
        actor=session.actor,
        name="instance.details_changed",
        smart_account=session.smart_account_id,
        virtual_account=session.virtual_account_id,
        subject_type="product_instance",
        subject_id=session.piid,
        data={"udi": session.udi, "changed": ", ".join(DETAILS[name] for name in changed)},
        personal={name: value for name, value in changed.items() if name in _PERSONAL},
        now=now,
    )
