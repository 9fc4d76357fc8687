"""What keeps a Virtual Account from being deleted: conversions whose licenses are on their way into it."""

from datetime import datetime

from accounts.models import VirtualAccount
from licensing.models import Conversion


def find_conversions(virtual_account: VirtualAccount, now: datetime) -> str | None:
    """How many are still to be carried out, in words, or None."""
    count = Conversion.objects.waiting().filter(virtual_account=virtual_account).count()
    return f"{count} conversion{'' if count == 1 else 's'} in progress" if count else None
