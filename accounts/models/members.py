"""Who holds which role on which Smart Account or Virtual Account."""

from django.db import models

from accounts.models.smart_accounts import SmartAccount
from accounts.models.users import User
from accounts.models.virtual_accounts import VirtualAccount
from accounts.querysets import MembershipQuerySet
from cssm.common.permissions import Role

VIRTUAL_ACCOUNT_ROLES = [role.value for role in Role if role.is_virtual_account_role]
SMART_ACCOUNT_ROLES = [role.value for role in Role if not role.is_virtual_account_role]


class Membership(models.Model):
    """One role of one user. A user may hold several, also on one account (an approver who also views)."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="memberships")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])
    created_at = models.DateTimeField()

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(virtual_account__isnull=False, role__in=VIRTUAL_ACCOUNT_ROLES)
                | models.Q(virtual_account__isnull=True, role__in=SMART_ACCOUNT_ROLES),
                name="membership_role_fits_its_account",
            ),
            models.UniqueConstraint(
                fields=["user", "smart_account", "role"],
                condition=models.Q(virtual_account__isnull=True),
                name="membership_unique_on_smart_account",
            ),
            models.UniqueConstraint(
                fields=["user", "virtual_account", "role"],
                condition=models.Q(virtual_account__isnull=False),
                name="membership_unique_on_virtual_account",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} of user {self.user_id}"
