"""Loans in the answer of `POST …/licenses`, with the same figures as in the portal."""

from collections.abc import Iterator

import pytest
import time_machine

from accounts.models import VirtualAccount
from licensing.models import License
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.fold import fold_due
from tests.api.conftest import Caller
from tests.conftest import NOW
from tests.licensing.families import import_cuwl, reserve
from tests.licensing.stock import deliver, line, make_instance, use

LICENSES = "/v1/accounts/acme.example/licenses"


@pytest.fixture(autouse=True)
def _at_the_moment_of_the_tests() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def cuwl(db: None) -> dict[str, License]:
    return import_cuwl(NOW)


@pytest.mark.parametrize("reserved", [0, 20])
@pytest.mark.parametrize("folded", [True, False])
def test_what_is_borrowed_stands_on_the_row_of_who_borrows(
    admin: Caller,
    cuwl: dict[str, License],
    engineering: VirtualAccount,
    reserved: int,
    folded: bool,
):
    device = make_instance(engineering, NOW)
    deliver(engineering, line(cuwl["CUWL"], 100), now=NOW)
    use(device, cuwl["CUWL"], 10, NOW)
    use(device, cuwl["EPLUS"], 50 - reserved, NOW)
    reserve(engineering, cuwl["EPLUS"], reserved, NOW)
    if folded:
        fold_due(now=NOW)
    high, low = admin.post(LICENSES, {}).json()["licenses"]
    assert (high["entitlementTag"], high["available"], high["licenseSubstitutions"]) == ("CUWL", 40, [])
    assert (low["entitlementTag"], low["available"], low["status"]) == ("EPLUS", 0, "In Compliance")
    assert low["licenseSubstitutions"] == [
        {
            "licenseName": "Enhanced Plus",
            "substitutedLicense": "CUWL",
            "substitutedQuantity": 50,
            "substitutionType": "Substitution From Higher Tier",
        }
    ]


def test_a_line_is_shown_with_what_is_left_of_it(
    admin: Caller,
    cuwl: dict[str, License],
    engineering: VirtualAccount,
    default_va: VirtualAccount,
    alice,
    actor_of,
):
    for quantity in (10, 5):
        deliver(engineering, line(cuwl["CUWL"], quantity), now=NOW)
    lines = [TransferLine(cuwl["CUWL"], 12, default_va)]
    transfer_licenses(actor=actor_of(alice), source=engineering, lines=lines, now=NOW)
    (row,) = admin.post(LICENSES, {"virtualAccounts": ["Engineering"]}).json()["licenses"]
    assert [detail["quantity"] for detail in row["licenseDetails"]] == [3]
