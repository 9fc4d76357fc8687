"""What a Virtual Account owns or uses, for telling why it cannot be deleted."""

from datetime import datetime

from accounts.models import VirtualAccount
from licensing.models import Pool, PoolDelta, PurchaseLine


def describe_pools(virtual_account: VirtualAccount, now: datetime) -> str | None:
    """What is left in it of licenses: lines that run or will run, use and reservations; None where nothing is."""
    lines = PurchaseLine.objects.filter(virtual_account=virtual_account).not_ended_at(now).with_anything_left()
    owned = lines.values("license").distinct().count()
    if owned:
        return f"it owns {owned} {'license' if owned == 1 else 'different licenses'}"
    in_use = Pool.objects.filter(virtual_account=virtual_account).exclude(in_use=0, reserved=0, borrowed=0, lent=0)
    if in_use.exists() or PoolDelta.objects.filter(virtual_account=virtual_account).exists():
        return "licenses are in use or reserved"
    return None
