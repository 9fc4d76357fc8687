"""Finding exchanges, and what is told of them."""

from django.db.models import QuerySet

from accounts.models import SmartAccount
from accounts.services.actors import name_people
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from sync.models import Exchange
from sync.services.servers import require
from sync.services.storage import StoredFile
from sync.states import ExchangeState, Side


def get_exchange(*, actor: Actor, smart_account: SmartAccount, key: int, permission: Permission) -> Exchange:
    """The exchange of a server on whose Virtual Account, as it is now, the actor holds the permission.

    Raises `NotFound`, `Forbidden`.
    """
    own = Exchange.objects.visible_to(actor).filter(smart_account=smart_account, pk=key)
    exchange = own.select_related("server__virtual_account", "server__smart_account").first()
    if exchange is None:
        raise NotFound("There is no such exchange in this Smart Account, or you have no access to it.")
    require(actor, exchange.server, permission)
    return exchange


def list_exchanges(*, actor: Actor, smart_account: SmartAccount) -> QuerySet[Exchange]:
    """Of all servers that the actor sees, to be sorted by the caller."""
    rows = Exchange.objects.visible_to(actor).filter(smart_account=smart_account)
    return rows.select_related("server__virtual_account")


def name_sender(exchange: Exchange) -> str:
    """Who uploaded it, as far as that may still be known."""
    if exchange.created_by_label:
        return exchange.created_by_label
    if exchange.created_by_kind == ActorKind.USER:
        return name_people([exchange.created_by_id])[exchange.created_by_id]
    return exchange.created_by_kind


def open_file(exchange: Exchange, side: Side) -> StoredFile:
    """One of its files. Raises `NotFound` where it is not there any more, or never was."""
    if exchange.files_deleted_at is not None:
        raise NotFound("The files of this exchange were deleted after 90 days.")
    if side is Side.RESPONSE and exchange.state != ExchangeState.APPLIED:
        raise NotFound("There is no response: the file was not applied.")
    return StoredFile(exchange, side)


def size_of_file(exchange: Exchange, side: Side) -> int:
    return exchange.size if side is Side.REQUEST else exchange.response_size
