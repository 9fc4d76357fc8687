"""`EMAIL_URL`: which mail server, and how to speak to it."""

from typing import Any, Final

import dj_email_url
from django.core.exceptions import ImproperlyConfigured

ENCRYPTED: Final = {"smtp+tls": "submission", "smtp+ssl": "smtp", "smtps": "smtp"}
"""The names by which people know STARTTLS (port 587) and TLS from the first byte (port 465)."""
IMPLICIT_TLS_PORT: Final = 465


def read_email_url(url: str) -> dict[str, Any]:
    """Django's EMAIL_* settings. Raises `ImproperlyConfigured`, without the password, for a scheme nobody knows."""
    scheme, _, rest = url.partition("://")
    plain = ENCRYPTED.get(scheme, scheme)
    if plain not in dj_email_url.SCHEMES:
        known = ", ".join(sorted({*dj_email_url.SCHEMES, *ENCRYPTED}))
        raise ImproperlyConfigured(f"EMAIL_URL begins with {scheme!r}; it may begin with {known}, then ://")
    values: dict[str, Any] = dj_email_url.parse(f"{plain}://{rest}")
    if scheme in ENCRYPTED and plain == "smtp":
        values |= {"EMAIL_USE_SSL": True, "EMAIL_USE_TLS": False}
        values["EMAIL_PORT"] = values["EMAIL_PORT"] if f":{values['EMAIL_PORT']}" in rest else IMPLICIT_TLS_PORT
    return values
