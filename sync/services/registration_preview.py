"""What registering a file would do, asked before it is done; nothing is issued and nothing changes."""

from dataclasses import dataclass
from uuid import UUID

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from sync.models import OnPremServer
from sync.services import certificates
from sync.services.receiving import Upload
from sync.services.registration import check_known, find_answered, read_application
from sync.services.servers import clean_name
from sync.states import ServerState


@dataclass(frozen=True, slots=True)
class Preview:
    """`known` is the server of the file where it is known already; `is_anew` whether what it was given before is
    revoked, `is_repeated` whether these very bytes have been answered."""

    uuid: UUID
    name: str
    hosts: tuple[str, ...]
    known: OnPremServer | None
    is_anew: bool
    is_repeated: bool

    @property
    def replaces(self) -> bool:
        """Whether certificates in use are revoked, which has to be confirmed."""
        return self.is_anew and self.known is not None and self.known.state == ServerState.REGISTERED


def preview_registration(*, actor: Actor, virtual_account: VirtualAccount, upload: Upload, name: str = "") -> Preview:
    """Raises as `register_server`, but for what has to be confirmed."""
    actor.require(
        Permission.MANAGE_ASSETS,
        smart_account_id=virtual_account.smart_account_id,
        virtual_account_id=virtual_account.pk,
    )
    application = read_application(upload, virtual_account.smart_account_id)
    known = OnPremServer.objects.filter(uuid=application.uuid).select_related("virtual_account").first()
    certificates.refuse_shared_keys(application.orders, server=known)
    name = clean_name(name or application.request.satellite_name)
    hosts = tuple(dict.fromkeys(host for order in application.orders for host in order.hosts))
    if known is None:
        return Preview(application.uuid, name, hosts, None, is_anew=False, is_repeated=False)
    check_known(actor, known, virtual_account, application, confirmed=True)
    is_anew = known.state != ServerState.REGISTERED or known.lcs_key_digest != application.lcs_key_digest
    is_repeated = find_answered(known, application) is not None
    return Preview(application.uuid, name, hosts, known, is_anew, is_repeated)
