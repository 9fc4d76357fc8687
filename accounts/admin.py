"""Inspection of accounts, and of the tables of the libraries that sign people and programs in.

Those libraries register admins that can change and show secrets; these take their places.
"""

from django.contrib import admin

from cssm.common.admin import register_read_only

SECRETS_OF_LIBRARIES: dict[str, dict[str, tuple[str, ...]]] = {
    "auth": {},
    "account": {"EmailConfirmation": ("key",)},
    "mfa": {"Authenticator": ("data",)},
    "socialaccount": {
        "SocialApp": ("secret", "key", "settings"),
        "SocialAccount": ("extra_data",),
        "SocialToken": ("token", "token_secret"),
    },
    "oauth2_provider": {
        "AccessToken": ("token", "token_checksum", "id_token"),
        "RefreshToken": ("token", "token_checksum"),
        "IDToken": ("jti",),
        "Grant": ("code", "code_challenge", "nonce", "claims"),
        "DeviceGrant": ("device_code", "user_code"),
    },
}
SECRETS: dict[str, tuple[str, ...]] = {"ApiClient": ("client_secret",), "User": ("password",)}

for model in [*admin.site._registry]:
    if model._meta.app_label in {*SECRETS_OF_LIBRARIES, "accounts"}:
        admin.site.unregister(model)
for label, secrets in SECRETS_OF_LIBRARIES.items():
    register_read_only(label, secret_fields=secrets)
register_read_only("accounts", secret_fields=SECRETS)
