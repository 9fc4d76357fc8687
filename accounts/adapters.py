"""How django-allauth is fitted in: anyone may open a user account, which gives no access to any Smart Account."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return True

    def clean_email(self, email: str) -> str:
        """Addresses are kept in lower case, so that one address is one user."""
        return str(super().clean_email(email)).lower()
