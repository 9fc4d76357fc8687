"""What keeps a Virtual Account from being deleted: products in it, and tokens that would let more in."""

from datetime import datetime

from accounts.models import VirtualAccount
from licensing.models import IdToken, ProductInstance


def find_devices(virtual_account: VirtualAccount, now: datetime) -> str | None:
    """What of it is still in there, in words, or None."""
    instances = ProductInstance.objects.active().filter(virtual_account=virtual_account).count()
    tokens = IdToken.objects.usable_at(now).filter(virtual_account=virtual_account).count()
    found = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((instances, "product instance"), (tokens, "usable ID token"))
        if count
    ]
    return " and ".join(found) or None
