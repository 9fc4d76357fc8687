"""Signing in, one's own pages, and the management of a Smart Account.

The pages of django-allauth keep their names; those that people type or link to stand at short addresses.
"""

from typing import Any, Final

from allauth.account import urls as account_urls
from allauth.account import views as account_views
from allauth.socialaccount import urls as social_urls
from allauth.socialaccount.providers.openid_connect import urls as openid_urls
from django.urls import include, path

from accounts.views import access_requests, api_clients, manage, own, users, virtual_accounts

SHORT: Final = ("account_login", "account_logout", "account_signup")
MANAGE: Final = "accounts/<str:domain>/manage/"

sign_in: list[Any] = [
    path("login/", account_views.login, name="account_login"),
    path("logout/", account_views.logout, name="account_logout"),
    path("signup/", account_views.signup, name="account_signup"),
    path("account/", include([page for page in account_urls.urlpatterns if page.name not in SHORT])),
    path("account/two-factor/", include("allauth.mfa.urls")),
    path("account/single-sign-on/", include([*social_urls.urlpatterns, *openid_urls.urlpatterns])),
]

own_pages: list[Any] = [
    path("profile/", own.Profile.as_view(), name="profile"),
    path("requests/", own.OwnRequests.as_view(), name="requests"),
    path("requests/new-account/", own.RequestNewAccount.as_view(), name="request-account"),
    path("requests/access/", own.RequestAccess.as_view(), name="request-access"),
]

manage_pages: list[Any] = [
    path("", manage.Overview.as_view(), name="manage"),
    path("rename/", manage.Rename.as_view(), name="rename"),
    path("agreement/", manage.AcceptAgreement.as_view(), name="accept-agreement"),
    path("users/", users.Users.as_view(), name="users"),
    path("users/add/", users.AddUser.as_view(), name="add-user"),
    path("users/<int:pk>/role/", users.ChangeRole.as_view(), name="change-role"),
    path("users/<int:pk>/remove/", users.RemoveUser.as_view(), name="remove-user"),
    path("virtual-accounts/", virtual_accounts.VirtualAccounts.as_view(), name="virtual-accounts"),
    path("virtual-accounts/add/", virtual_accounts.CreateVirtualAccount.as_view(), name="create-virtual-account"),
    path(
        "virtual-accounts/<int:pk>/change/",
        virtual_accounts.ChangeVirtualAccount.as_view(),
        name="change-virtual-account",
    ),
    path(
        "virtual-accounts/<int:pk>/delete/",
        virtual_accounts.DeleteVirtualAccount.as_view(),
        name="delete-virtual-account",
    ),
    path("access-requests/", access_requests.AccessRequests.as_view(), name="access-requests"),
    path("access-requests/<int:pk>/approve/", access_requests.ApproveRequest.as_view(), name="approve-request"),
    path("access-requests/<int:pk>/decline/", access_requests.DeclineRequest.as_view(), name="decline-request"),
    path("api-clients/", api_clients.ApiClients.as_view(), name="api-clients"),
    path("api-clients/add/", api_clients.CreateApiClient.as_view(), name="create-api-client"),
    path("api-clients/<int:pk>/revoke/", api_clients.RevokeApiClient.as_view(), name="revoke-api-client"),
]

urlpatterns: list[Any] = [*sign_in, *own_pages, path(MANAGE, include((manage_pages, "accounts")))]
