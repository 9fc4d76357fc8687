"""A product that asks for export keys, and the licenses that it asks for."""

from licensing.models import License
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.licensing.reservations.products import AirGapped
from tests.licensing.stock import import_rows, live

HSEC = "regid.2019-03.com.cisco.DNA_HSEC,1.0_509c41ab-05a8-431f-95fe-ec28086e8844"


def ask(device, count=1, tag=HSEC):
    return device.ask("EXPORT_AUTHORIZATION", {"tag": tag, "count": count})


def key_of(device, count=1):
    reply = ask(device, count)
    assert reply.code is None, reply.text
    assert reply.is_by(device.signing_cert)
    return str(reply.data["authorization_key"])


def return_code(device, *keys):
    """What the product shows when it gives the last of these keys back."""
    holder = AirGapped(serial=device.sudi["udi_serial_number"])
    for key in keys:
        holder.install(key)
    return holder.return_code


def figures(license, place, at):
    """Reserved and free; the same live, folded, and from the records."""
    assert check_pools(now=at) == []
    fold_due(now=at)
    assert check_pools(now=at) == []
    pool = live(license, place, at)
    return pool.now_reserved, pool.now_free


def make_restricted(tag, now):
    columns = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"
    import_rows([f"{tag},entitlement,{tag} name,,perpetual,,RESTRICTED,"], now, columns=columns)
    return License.objects.get(tag=tag)
