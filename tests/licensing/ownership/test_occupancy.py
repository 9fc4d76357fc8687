"""What keeps a Virtual Account from being deleted is what is left in it at that moment."""

from datetime import timedelta

import pytest

from accounts.services.virtual_accounts import delete_virtual_account
from cssm.common.actor import SYSTEM
from cssm.common.errors import Conflict
from licensing.services.ownership.corrections import terminate_licenses
from tests.licensing.stock import deliver, line, make_license

pytestmark = pytest.mark.django_db


@pytest.fixture
def dna(now):
    return make_license("DNA-1", now)


def test_lines_of_which_nothing_is_left_keep_nobody_from_deleting(engineering, dna, now):
    deliver(engineering, line(dna, 10), now=now)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=9, reason="sent back", now=now)
    with pytest.raises(Conflict, match="it owns 1 license"):
        delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=now)
    terminate_licenses(actor=SYSTEM, virtual_account=engineering, license=dna, quantity=1, reason="sent back", now=now)
    delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=now)


def test_lines_that_have_ended_by_then_keep_nobody_from_deleting(engineering, dna, now):
    end = now + timedelta(days=30)
    deliver(engineering, line(dna, licenseType="term", endDate=end.isoformat()), now=now)
    with pytest.raises(Conflict, match="it owns 1 license"):
        delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=end - timedelta(seconds=1))
    delete_virtual_account(actor=SYSTEM, virtual_account=engineering, now=end)
