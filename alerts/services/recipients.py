"""Who a message goes to: a user, or an address in a Smart Account's own domain."""

from dataclasses import dataclass

from accounts.models import SmartAccount, User
from accounts.services.actors import actor_for_user
from accounts.states import AccountStatus
from cssm.common.permissions import Permission


@dataclass(frozen=True, slots=True)
class Recipient:
    """`key` is unique: a person is one recipient everywhere, an address one per Smart Account."""

    key: str
    user_id: int | None
    address: str


def recipient_user(user_id: int) -> Recipient:
    return Recipient(key=f"user:{user_id}", user_id=user_id, address="")


def recipient_address(smart_account_id: int, address: str) -> Recipient:
    return Recipient(key=f"address:{smart_account_id}:{address}", user_id=None, address=address)


def may_be_told(user: User | None, smart_account: SmartAccount, virtual_account_id: int | None) -> bool:
    """Whether the recipient may still see the account; an address may as long as the account is active."""
    if user is None:
        return smart_account.status == AccountStatus.ACTIVE
    return actor_for_user(user).may(
        Permission.VIEW, smart_account_id=smart_account.pk, virtual_account_id=virtual_account_id
    )
