"""Paths of the calls about on-prem servers, below the version."""

from django.urls import URLPattern, URLResolver, path

from accounts.api.urls import ACCOUNT
from sync.api import exchanges, local_accounts, servers

SERVER = f"{ACCOUNT}/onprem-servers/<uuid:uuid>"
EXCHANGE = f"{ACCOUNT}/exchanges/<int:exchange>"

v1: list[URLPattern | URLResolver] = [
    path(f"{ACCOUNT}/onprem-servers", servers.ServersView.as_view()),
    path(SERVER, servers.ServerView.as_view()),
    path(f"{SERVER}/synchronizations", servers.SynchronizationsView.as_view()),
    path(f"{SERVER}/exchanges", exchanges.ServerExchangesView.as_view()),
    path(f"{SERVER}/local-accounts", local_accounts.LocalAccountsView.as_view()),
    path(f"{SERVER}/local-accounts/link", local_accounts.LocalAccountLinkView.as_view()),
    path(f"{SERVER}/rename", servers.ServerRenameView.as_view()),
    path(f"{SERVER}/remove", servers.ServerRemovalView.as_view()),
    path(EXCHANGE, exchanges.ExchangeView.as_view()),
    path(f"{EXCHANGE}/response", exchanges.ExchangeFileView.as_view(), {"side": "response"}),
    path(f"{EXCHANGE}/request", exchanges.ExchangeFileView.as_view(), {"side": "request"}),
    path(f"{EXCHANGE}/changes", exchanges.ExchangeChangesView.as_view()),
    path(f"{EXCHANGE}/apply", exchanges.ExchangeApplyView.as_view()),
    path(f"{EXCHANGE}/cancel", exchanges.ExchangeCancelView.as_view()),
    path("operator/onprem-servers/<uuid:uuid>/three-tier", servers.ThreeTierView.as_view()),
]
