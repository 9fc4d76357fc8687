"""On-prem servers, what they call their Virtual Accounts, and every file exchanged with them."""

from sync.models.exchanges import Exchange, ExchangePart, KeptRequest, Notice
from sync.models.local_accounts import LocalAccount
from sync.models.servers import HostLock, KeyLock, OnPremServer, ServerCertificate, ServerHost

__all__ = [
    "Exchange",
    "ExchangePart",
    "HostLock",
    "KeptRequest",
    "KeyLock",
    "LocalAccount",
    "Notice",
    "OnPremServer",
    "ServerCertificate",
    "ServerHost",
]
