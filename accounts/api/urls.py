"""Paths of the calls about accounts, below the version."""

from typing import Final

from django.urls import URLPattern, URLResolver, path

from accounts.api import access_requests, accounts, api_clients, events, users, virtual_accounts

ACCOUNT: Final = "accounts/<str:domain>"
VIRTUAL_ACCOUNT: Final = f"{ACCOUNT}/virtual-accounts/<str:va>"

v1: list[URLPattern | URLResolver] = [
    path("accounts/search", accounts.AccountSearchView.as_view()),
    path(f"{ACCOUNT}/virtual-accounts", virtual_accounts.VirtualAccountsView.as_view()),
    path(f"{ACCOUNT}/customer/virtual-accounts", virtual_accounts.CustomerVirtualAccountsView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/change", virtual_accounts.VirtualAccountChangeView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/delete", virtual_accounts.VirtualAccountDeletionView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/events", events.VirtualAccountEventsView.as_view()),
    path(f"{ACCOUNT}/api-clients", api_clients.ApiClientsView.as_view()),
    path(f"{ACCOUNT}/api-clients/revoke", api_clients.ApiClientRevocationView.as_view()),
    path(f"{ACCOUNT}/users", users.UsersView.as_view()),
    path(f"{ACCOUNT}/users/change-role", users.RoleChangeView.as_view()),
    path(f"{ACCOUNT}/users/remove", users.UserRemovalView.as_view()),
    path(f"{ACCOUNT}/access-requests", access_requests.AccessRequestsView.as_view()),
    path(f"{ACCOUNT}/access-requests/<int:request_id>/approve", access_requests.ApprovalView.as_view()),
    path(f"{ACCOUNT}/access-requests/<int:request_id>/decline", access_requests.RefusalView.as_view()),
    path(f"{ACCOUNT}/events", events.EventsView.as_view()),
    path("operator/access-requests", access_requests.NewAccountRequestsView.as_view()),
    path("operator/access-requests/<int:request_id>/approve", access_requests.NewAccountApprovalView.as_view()),
    path("operator/access-requests/<int:request_id>/decline", access_requests.NewAccountRefusalView.as_view()),
    path(f"operator/{ACCOUNT}/flags", accounts.AccountFlagsView.as_view()),
]

v2: list[URLPattern | URLResolver] = [
    path("accounts", accounts.AccountsView.as_view()),
    path("accounts/search", accounts.AccountTreeView.as_view()),
]
