from accounts.models.access_requests import AccessRequest
from accounts.models.api_clients import ApiClient
from accounts.models.events import Event, EventLogHead, EventPersonal
from accounts.models.members import Membership
from accounts.models.smart_accounts import SmartAccount
from accounts.models.tags import AccountTag
from accounts.models.users import User
from accounts.models.virtual_accounts import VirtualAccount

__all__ = [
    "AccessRequest",
    "AccountTag",
    "ApiClient",
    "Event",
    "EventLogHead",
    "EventPersonal",
    "Membership",
    "SmartAccount",
    "User",
    "VirtualAccount",
]
