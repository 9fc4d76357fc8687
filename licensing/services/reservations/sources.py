"""Where more of a license is free, for telling whoever asked for more than there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from licensing.models import Pool

MOST_PLACES: Final = 3
_SHORT: Final = frozenset({"NOT_ENOUGH_FREE", "NOT_ENOUGH_LATER", "LINES_EXPIRED"})


@contextmanager
def naming_sources(*, actor: Actor, virtual_account: VirtualAccount, now: datetime) -> Iterator[None]:
    """A refusal for want of licenses, raised within, also names the Virtual Accounts that have some to spare.

    Only those that the actor may see. One query for each license that was refused.
    """
    try:
        yield
    except Conflict as refused:
        errors = [dict(error) for error in refused.details.get("errors", ())]
        hints = [_hint(error, actor, virtual_account, now) for error in errors if error.get("code") in _SHORT]
        found = [hint for hint in hints if hint]
        if not found:
            raise
        raise Conflict(
            f"{refused.message} {' '.join(found)}", code=refused.code, where=refused.where, details={"errors": errors}
        ) from None


def _hint(error: dict[str, Any], actor: Actor, virtual_account: VirtualAccount, now: datetime) -> str:
    """A sentence, also put into the error's message; empty where nobody has any."""
    others: Any = (
        Pool.objects.visible_to(actor)
        .filter(smart_account=virtual_account.smart_account_id, license__tag=error.get("tag"))
        .filter(virtual_account__deleted_at__isnull=True)
        .exclude(virtual_account=virtual_account)
        .with_figures(now)
    )
    pools = others.filter(now_free__gt=0).select_related("license", "virtual_account")
    pools = pools.order_by("-now_free", "pk")[:MOST_PLACES]
    places = [f"{pool.now_free} in {pool.virtual_account.name}" for pool in pools]
    if not places:
        return ""
    hint = f"More {pools[0].license.display_name} are free elsewhere: {', '.join(places)}. Transfer some first."
    error["message"] = f"{error['message']} {hint}"
    return hint
