"""API clients: programs that act for a Smart Account, or for the operator (OAuth 2 client credentials)."""

from typing import Any

from django.db import models
from oauth2_provider.models import AbstractApplication

from accounts.models.smart_accounts import SmartAccount
from accounts.models.users import User
from accounts.models.virtual_accounts import VirtualAccount
from accounts.querysets import ApiClientQuerySet
from cssm.common.permissions import Role


class ApiClient(AbstractApplication):
    """Either the operator's, or bound to one Smart Account with a role and, for the VA roles, to one Virtual Account.

    The secret is stored hashed and shown once, when the client is created.
    """

    # The library's "user" stays empty: no person's rights are lent to a program. No reverse relation is wanted either.
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    smart_account = models.ForeignKey(SmartAccount, null=True, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=20, blank=True, choices=[(role.value, role.label) for role in Role])
    is_operator = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    objects = ApiClientQuerySet.as_manager()

    class Meta(AbstractApplication.Meta):
        abstract = False
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_operator=True, smart_account__isnull=True, virtual_account__isnull=True, role="")
                | models.Q(is_operator=False, smart_account__isnull=False) & ~models.Q(role=""),
                name="api_client_of_operator_or_account",
            ),
        ]

    def is_usable(self, request: Any) -> bool:
        """Asked by the OAuth library before it issues or accepts a token."""
        return self.revoked_at is None
