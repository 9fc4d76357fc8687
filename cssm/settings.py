"""Every setting, read from the environment once (12-factor; `.env` is read if present).

Any secret may be given as `NAME_FILE` with the path of a file that holds it.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import FileAwareEnv

from cssm.logs import logging_config
from cssm.mail_url import read_email_url
from cssm.observation import configure_sentry

BASE_DIR: Final = Path(__file__).resolve().parent.parent
VAR_DIR: Final = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))
TESTING: Final = "pytest" in sys.modules
DEMO_FILE: Final = (VAR_DIR if "VAR_DIR" in os.environ else BASE_DIR) / ".demo.json"

env = FileAwareEnv(strip_whitespace=True)  # of files: editors end them with a line break
if not TESTING:
    env.read_env(str(BASE_DIR / ".env"), recurse=False)
    # Where `make run` serves, so that commands typed beside it name the same address. What is set elsewhere wins.
    env.read_env(str(VAR_DIR / "run.env"), recurse=False)

SAMPLE_SECRET: Final = re.compile(r"^(only-for-|django-insecure|sample|example)|change.?(me|this)")
FEWEST_DIFFERENT: Final = 8


def _secret(name: str, *, least: int = 32) -> str:
    """A secret that must be there and must not be a sample, unless DEBUG or the test runner is on."""
    value: str = env.str(name, "")
    if TESTING:
        return value or f"only-for-tests-{name.lower()}-0123456789abcdef"
    if len(value) < least or len(set(value)) < FEWEST_DIFFERENT or SAMPLE_SECRET.search(value.lower()):
        if DEBUG:
            return value or f"only-for-debug-{name.lower()}-0123456789abcdef"
        raise ImproperlyConfigured(
            f"{name} must be set to a random secret of at least {least} characters; a missing, short or sample one is"
            " refused unless DEBUG is on. 'head -c 48 /dev/urandom | base64' makes one."
        )
    return value


DEBUG: bool = env.bool("DEBUG", False)
SECRET_KEY: str = _secret("SECRET_KEY")
KEY_ENCRYPTION_KEY: str = _secret("KEY_ENCRYPTION_KEY")
ROOT_KEY_PASSPHRASE: str = env.str("ROOT_KEY_PASSPHRASE", "only-for-tests-passphrase" if TESTING else "")

PUBLIC_URL: str = env.str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
PUBLIC_IS_HTTPS: bool = urlsplit(PUBLIC_URL).scheme == "https"
# The machine's own names are for its health checks.
_HOSTS = sorted({urlsplit(PUBLIC_URL).hostname or "", "localhost", "127.0.0.1", "[::1]"} - {""})
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", _HOSTS)
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [PUBLIC_URL])
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", [])

# --- applications ----

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.admin",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "bootstrap",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "django_tables2",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "oauth2_provider",
    "rest_framework",
    "cssm.common",
    "pki",
    "accounts",
    "alerts",
    "licensing",
    "sync",
    "cssm.apps.ProjectConfig",
]

MIDDLEWARE = [
    "cssm.common.middleware.TransportMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.ActorMiddleware",
]

ROOT_URLCONF = "cssm.urls"
WSGI_APPLICATION = "cssm.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "cssm.common.context.portal_context",
            ],
            "builtins": ["cssm.common.templatetags.portal"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS.append("django.forms")
CRISPY_ALLOWED_TEMPLATE_PACKS = ["bootstrap5"]
CRISPY_TEMPLATE_PACK = "bootstrap5"
DJANGO_TABLES2_TEMPLATE = "components/table.html"

# --- database, cache, broker ----

DATABASE_URL: str = env.str("DATABASE_URL", "") or f"sqlite:///{VAR_DIR / 'portal.sqlite3'}"


def _database() -> dict[str, Any]:
    config: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
    suffix = env.str("TEST_DB_SUFFIX", "")
    if "sqlite" in config["ENGINE"]:
        config["ENGINE"] = "cssm.common.sqlite"
        # FULL: an acknowledged use of a license survives a power cut. Tests need not.
        synchronous = "OFF" if TESTING else "FULL"
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA cache_size=-32000;",
        }
        config["TEST"] = {"NAME": str(VAR_DIR / f"test{suffix}.sqlite3")}
    else:
        config["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", 600)
        config["CONN_HEALTH_CHECKS"] = True
        config["ENGINE"] = "cssm.common.postgresql"
        # Compiling a statement takes longer than any of ours runs: estimates of nested sums are far too high.
        # The sets of a large synchronization file are temporary tables; who makes none takes no memory for them.
        asked_for = f"-c jit=off -c temp_buffers=64MB {env.str('PGOPTIONS', '')}".strip()
        threshold = 0 if env.bool("PREPARED_STATEMENTS", True) else None
        config["OPTIONS"] = {"options": asked_for, "prepare_threshold": threshold, **config.get("OPTIONS", {})}
        config["TEST"] = {"NAME": f"test_{config['NAME']}{suffix}"}
    return config


VAR_DIR.mkdir(parents=True, exist_ok=True)
STATIC_ROOT = Path(env.str("STATIC_ROOT", "") or BASE_DIR / "staticfiles")
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
DATABASES = {"default": _database()}
IS_POSTGRESQL: bool = "postgresql" in DATABASES["default"]["ENGINE"]

# What this installation's keys in Redis begin with, should several share one server.
KEY_PREFIX: str = env.str("KEY_PREFIX", "portal")
CACHE_URL: str = env.str("CACHE_URL", "")
CACHES: dict[str, Any] = {
    "default": (
        {"BACKEND": "cssm.common.redis_cache.RedisCache", "LOCATION": CACHE_URL, "KEY_PREFIX": KEY_PREFIX}
        if CACHE_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "portal"}
    )
}

CELERY_BROKER_URL: str = "memory://" if TESTING else env.str("CELERY_BROKER_URL", "") or "filesystem://localhost/"
EMBEDDED_BROKER_DIR: Final = VAR_DIR / "broker"
NUDGES_ENABLED: bool = not TESTING

# --- people: login ----

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if TESTING
    else [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    ]
)
PASSWORD_HASHERS.append("cssm.common.hashers.RandomSecretHasher")  # of API clients' secrets; never the default
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", "mandatory")
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_LOGOUT_REDIRECT_URL = "/login/"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PUBLIC_IS_HTTPS else "http"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Smart Account Portal"

OIDC_SERVER_URL: str = env.str("OIDC_SERVER_URL", "")
OIDC_ORIGIN: str = "{0.scheme}://{0.netloc}".format(urlsplit(OIDC_SERVER_URL))
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    "openid_connect": {
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("OIDC_NAME", "Single sign-on"),
                "client_id": env.str("OIDC_CLIENT_ID", ""),
                "secret": env.str("OIDC_CLIENT_SECRET", ""),
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ]
        if OIDC_SERVER_URL
        else []
    }
}

# --- API ----

OAUTH2_PROVIDER_APPLICATION_MODEL = "accounts.ApiClient"
OAUTH2_PROVIDER = {
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3599,
    "SCOPES": {"api": "Everything the client's role allows"},
    "DEFAULT_SCOPES": ["api"],
    "PKCE_REQUIRED": True,
    "CLIENT_SECRET_HASHER": "pbkdf2_sha256_random_secret",
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    # RFC 9700: the grants we do not offer stay shut even if somebody mounts them, and tokens are stored as digests.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["cssm.common.api.permissions.DeclaredPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["cssm.common.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "cssm.common.api.parsers.AlwaysFirst",
    "EXCEPTION_HANDLER": "cssm.common.api.errors.answer_exception",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Smart Account Portal API",
    "DESCRIPTION": "Smart Accounts, Virtual Accounts, registration tokens, licenses, product instances and orders.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/services/api/smart-accounts-and-licensing",
    "DISABLE_ERRORS_AND_WARNINGS": False,
    "PREPROCESSING_HOOKS": ["cssm.api.schema.keep_canonical_paths"],
    "POSTPROCESSING_HOOKS": [],
}

# --- protocol and keys ----

KEY_POOL_SIZE: int = env.int("KEY_POOL_SIZE", 2000)
THREE_TIER_DELAY_HOURS: int = env.int("THREE_TIER_DELAY_HOURS", 48)
# Failed products of one Virtual Account that may share their licenses with their replacements at a time.
REHOST_LIMIT: int = env.int("REHOST_LIMIT", 3)
# Whose keys products may ask for, each with the class that gets them: `SPEECHVIEW=path.to.Class,…`, empty for none.
_SANDBOX: Final = "licensing.services.exchange.sandbox.SandboxProvider"
THIRD_PARTY_PROVIDERS: dict[str, str] = env.dict(
    "THIRD_PARTY_PROVIDERS", default=dict.fromkeys(("SPEECHVIEW", "APNS", "PNP"), _SANDBOX)
)
MAX_UPLOAD_BYTES: int = env.int("MAX_UPLOAD_BYTES", 1024 * 1024 * 1024)
DEVICE_BODY_LIMIT: Final = 1024 * 1024
DEVICE_REPORT_LIMIT: Final = 16 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# --- mail ----

EMAIL_URL: str = env.str("EMAIL_URL", "console://")
_email = read_email_url(EMAIL_URL)
EMAIL_BACKEND: str = _email["EMAIL_BACKEND"]
EMAIL_HOST: str = _email["EMAIL_HOST"] or "localhost"
EMAIL_PORT: int = _email["EMAIL_PORT"] or 25
EMAIL_HOST_USER: str = _email["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD: str = _email["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS: bool = _email["EMAIL_USE_TLS"]
EMAIL_USE_SSL: bool = _email["EMAIL_USE_SSL"]
EMAIL_FILE_PATH: str = _email.get("EMAIL_FILE_PATH") or str(VAR_DIR / "mail")
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", "Smart Account Portal <portal@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- language, time, files ----

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING or DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- security ----

SESSION_COOKIE_SECURE = PUBLIC_IS_HTTPS
CSRF_COOKIE_SECURE = PUBLIC_IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "cssm.portal.views.errors.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31536000 if PUBLIC_IS_HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = PUBLIC_IS_HTTPS
SECURE_HSTS_PRELOAD = PUBLIC_IS_HTTPS
X_FRAME_OPTIONS = "DENY"
# security.W004, W008, W012, W016, W021: these follow PUBLIC_URL's scheme. A plain-HTTP one is meant for loopback;
# redirects from http are the proxy's matter, and device and API calls over http get 403, never a redirect.
SILENCED_SYSTEM_CHECKS = ["security.W008"] + (
    [] if PUBLIC_IS_HTTPS else ["security.W004", "security.W012", "security.W016", "security.W021"]
)
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # Signing in by single sign-on is a form whose answer leads to the identity provider.
        "form-action": [SELF, OIDC_ORIGIN] if OIDC_SERVER_URL else [SELF],
    },
}

# --- observation ----

LOG_FORMAT: str = env.str("LOG_FORMAT", "console")
LOGGING_CONFIG = None
LOGGING = logging_config(LOG_FORMAT, level=env.str("LOG_LEVEL", "INFO"))
SENTRY_DSN: str = "" if TESTING else env.str("SENTRY_DSN", "")
configure_sentry(SENTRY_DSN, environment=urlsplit(PUBLIC_URL).hostname or "")
# Lets a collector on another machine read /metrics; without one only this machine can.
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "")
