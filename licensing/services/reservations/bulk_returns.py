"""Return codes as they come, of products anywhere in a Smart Account."""

from datetime import datetime

from accounts.models import SmartAccount
from cssm.common.actor import Actor
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.codecs.return_code import WHERE, split_return_code
from licensing.models import Reservation
from licensing.services.reservations.returns import choose_by_code, return_reservation


def return_by_code(*, actor: Actor, smart_account: SmartAccount, return_code: str, now: datetime) -> Reservation:
    """`return_reservation` for the product whose code it is, among the reservations that the actor manages.

    Raises as that does, or `NotFound`, which tells nothing of the reservations of others.
    """
    typed = split_return_code(return_code)
    managed = Reservation.objects.visible_to(actor, Permission.MANAGE_ASSETS).filter(smart_account=smart_account)
    of_product = managed.filter(instance__piid__in=typed.piids()).select_related("instance", "virtual_account")
    found = choose_by_code(of_product.order_by("-pk"), typed)
    if found is None:
        raise NotFound("This is not the return code of a reservation that you manage in this account.", where=WHERE)
    return return_reservation(actor=actor, reservation=found, return_code=return_code, now=now)
