"""The cast that every test knows.

alice is SA_ADMIN of Acme (acme.example), bob VA_USER of its Virtual Account Engineering, carol VA_VIEWER of the same,
mallory SA_ADMIN of another company (umbrella.example), and olivia the operator.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from pytest_django import DjangoDbBlocker

from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.smart_accounts import create_smart_account
from accounts.services.users import create_user
from cssm.common.actor import SYSTEM, Actor
from cssm.common.permissions import Role
from cssm.common.ratelimit import forget_limits
from licensing.services.catalog.lookup import forget_licenses
from tests.migrated import copy_migrated_database, copy_migrated_file, drop_database, empty_quickly
from tests.programs import find_chromium

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PASSWORD = "correct horse battery staple"


def pytest_configure(config: pytest.Config) -> None:
    """Each process of the suite empties a Redis database of its own: emptying one takes what others keep in it."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    cache = settings.CACHES["default"]
    if "redis" in cache["BACKEND"].lower():
        address = urlsplit(cache["LOCATION"])
        cache["LOCATION"] = address._replace(path=f"/{10 + int(worker.removeprefix('gw')) % 6}").geturl()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real concurrency, and of a real browser, say why they do not run where there is none."""
    missing = {}
    if not settings.IS_POSTGRESQL:
        missing["postgresql"] = "needs PostgreSQL: set DATABASE_URL=postgres://…"
    if find_chromium() is None:
        missing["browser"] = "needs Chromium: install Debian's package, or name one in CHROMIUM"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """What is there is used: it was made just now, see `django_db_modify_db_settings`."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """Each process of the suite gets a database of its own, copied from one that is migrated once."""
    name = str(connection.settings_dict["TEST"]["NAME"])
    if not settings.IS_POSTGRESQL:
        copy_migrated_file(Path(name))
        yield
        return
    copy_migrated_database(settings.DATABASE_URL, name)
    yield
    connection.close()
    drop_database(settings.DATABASE_URL, name)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The databases, and a quicker way to empty them."""
    if settings.IS_POSTGRESQL:
        with django_db_blocker.unblock():
            empty_quickly(connection)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    """What a process or its cache remembers of licenses and of limits must not outlive the test they were of."""
    forget_licenses()
    forget_limits()
    cache.clear()


@pytest.fixture
def now() -> datetime:
    """The moment at which everything happens, unless a test says otherwise."""
    return NOW


def _person(name: str, *, operator: bool = False) -> User:
    email = f"{name}@{'portal.example' if operator else 'acme.example'}"
    return create_user(actor=SYSTEM, email=email, name=name.title(), password=PASSWORD, operator=operator, now=NOW)


@pytest.fixture
def alice(db: None) -> User:
    return _person("alice")


@pytest.fixture
def bob(engineering: VirtualAccount, acme: SmartAccount) -> User:
    user = _person("bob")
    Membership.objects.create(
        user=user, smart_account=acme, virtual_account=engineering, role=Role.VA_USER, created_at=NOW
    )
    return user


@pytest.fixture
def carol(engineering: VirtualAccount, acme: SmartAccount) -> User:
    user = _person("carol")
    Membership.objects.create(
        user=user, smart_account=acme, virtual_account=engineering, role=Role.VA_VIEWER, created_at=NOW
    )
    return user


@pytest.fixture
def mallory(db: None) -> User:
    return create_user(actor=SYSTEM, email="mallory@umbrella.example", name="Mallory", password=PASSWORD, now=NOW)


@pytest.fixture
def olivia(db: None) -> User:
    return _person("olivia", operator=True)


@pytest.fixture
def acme(alice: User) -> SmartAccount:
    return create_smart_account(
        actor=SYSTEM, domain="acme.example", name="Acme", admin_email=alice.email, plr=True, now=NOW
    )


@pytest.fixture
def umbrella(mallory: User) -> SmartAccount:
    return create_smart_account(
        actor=SYSTEM, domain="umbrella.example", name="Umbrella", admin_email=mallory.email, now=NOW
    )


@pytest.fixture
def default_va(acme: SmartAccount) -> VirtualAccount:
    return VirtualAccount.objects.get(smart_account=acme, is_default=True)


@pytest.fixture
def engineering(acme: SmartAccount) -> VirtualAccount:
    return VirtualAccount.objects.create(smart_account=acme, name="Engineering", created_at=NOW)


@pytest.fixture
def actor_of() -> Callable[[User], Actor]:
    """The actor behind a user, with the roles held at the moment of the call."""
    return actor_for_user


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A browser in which the user is signed in."""
    return _signed_in


@pytest.fixture
def alice_client(alice: User, acme: SmartAccount) -> Client:
    return _signed_in(alice)


@pytest.fixture
def bob_client(bob: User) -> Client:
    return _signed_in(bob)


@pytest.fixture
def carol_client(carol: User) -> Client:
    return _signed_in(carol)


@pytest.fixture
def mallory_client(mallory: User, umbrella: SmartAccount) -> Client:
    return _signed_in(mallory)


@pytest.fixture
def olivia_client(olivia: User) -> Client:
    return _signed_in(olivia)
