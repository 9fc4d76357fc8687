from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import transaction

from pki.services import issuance
from pki.services.authorities import bootstrap_authorities
from pki.services.issuance import IssuedPair
from tests.keys import load_keys, use_checked_in_keys
from tests.pki.tools import spki_of


@pytest.fixture(autouse=True)
def _checked_in_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    use_checked_in_keys(monkeypatch)


@pytest.fixture
def hierarchy(db: None, now: datetime) -> None:
    """All authorities, made at `now`."""
    bootstrap_authorities(now=now)


@pytest.fixture
def issue(hierarchy: None, now: datetime) -> Callable[..., IssuedPair]:
    """Issues and records the certificates of one product."""

    def issue_pair(
        udi: str = "C9300-24UX:FCW2134L0RN", serial_number: str | None = "FCW2134L0RN", key: int = 0
    ) -> IssuedPair:
        prepared = issuance.prepare_product_certificates(
            csr_public_key=spki_of(load_keys()[key]),
            common_name=udi[:64],
            permanent_identifier=udi,
            serial_number=serial_number,
            now=now,
        )
        issued = issuance.sign_prepared(prepared)
        with transaction.atomic():
            issuance.record_issued(issued, now=now)
        return issued

    return issue_pair
