"""Two operators change the hierarchy at once: what would be a cycle together is refused to the second."""

import threading
from contextlib import suppress

import pytest
from django.db import IntegrityError

from accounts.services.actors import actor_for_user
from cssm.common.errors import Invalid
from licensing.models import CatalogHead, License
from licensing.services.catalog import hierarchy_editing
from licensing.services.catalog.families import find_cycle
from licensing.services.catalog.hierarchy_editing import set_higher
from tests.concurrency.threads import run_at_once
from tests.licensing.stock import make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def unlocked(*, now):
    """The catalog as it is, for the control."""
    return CatalogHead.objects.get(), {each.tag: each for each in License.objects.select_related("higher")}


@pytest.mark.parametrize("locked", [True, False])
def test_two_halves_of_a_cycle_at_once(olivia, now, monkeypatch, locked):
    """Without the lock both look at a catalog that has neither half, and only a constraint is left."""
    for tag in ("A", "B"):
        make_license(tag, now)
    operator = actor_for_user(olivia)
    both_checked = threading.Barrier(2)
    write = hierarchy_editing.write_licenses

    def wait_and_write(*arguments, **options):
        with suppress(threading.BrokenBarrierError):
            both_checked.wait(timeout=1)
        return write(*arguments, **options)

    monkeypatch.setattr(hierarchy_editing, "write_licenses", wait_and_write)
    if not locked:
        monkeypatch.setattr(hierarchy_editing, "lock_catalog", unlocked)

    def attempt(tag, higher):
        try:
            return set_higher(actor=operator, tag=tag, higher=higher, now=now)
        except Invalid as refused:
            return refused.code
        except IntegrityError:
            return "no answer"

    outcomes = run_at_once(lambda: attempt("A", "B"), lambda: attempt("B", "A"))
    assert ("CYCLE" in outcomes) is locked
    if locked:
        higher = {each.tag: each.higher.tag if each.higher else None for each in License.objects.all()}
        assert sorted(outcomes, key=str) == ["CYCLE", True]
        assert find_cycle(higher) == []
