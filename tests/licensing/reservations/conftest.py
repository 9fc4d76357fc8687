import pytest

from accounts.services.actors import actor_for_user
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.reserve import reserve_licenses
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, line, make_license


@pytest.fixture
def admin(alice, acme):
    return actor_for_user(alice)


@pytest.fixture
def software(db):
    return know_software()


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def switch(now):
    return make_license("SWITCH", now)


@pytest.fixture
def stock(authorities, software, engineering, router, switch, now):
    """Ten of each in Engineering."""
    deliver(engineering, line(router, 10), line(switch, 10), now=now)


@pytest.fixture
def product():
    return AirGapped()


@pytest.fixture
def reserve(admin, engineering, product, stock, now):
    """Reserve for a product, and have it install the code."""

    def make(licenses, *, of=product, actor=admin, place=engineering, at=now):
        wanted = [Wanted(license, quantity, number=n) for n, (license, quantity) in enumerate(licenses.items(), 1)]
        issued = reserve_licenses(
            actor=actor, virtual_account=place, request_code=of.request_code, licenses=wanted, now=at
        )
        of.install(issued.text)
        return issued

    return make
