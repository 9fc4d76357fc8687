"""`manage.py bootstrap`: make an installation ready, or leave a ready one as it is."""

from typing import Any, Final

from django.core.management import call_command

from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from licensing.services.catalog.imports import import_shipped_catalog
from pki.services.authorities import bootstrap_authorities
from pki.services.crls import make_crls, make_root_crl
from pki.services.key_pool import fill_key_pool

# Enough for the first devices; the worker makes the rest in the background.
FIRST_KEYS: Final = 16


class Command(PortalCommand):
    help = "Database, licensing CA, signing-key pool and the catalog shipped with the product. Idempotent."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0, stdout=self.stderr)
        bootstrap_authorities(now=read_clock())
        make_root_crl(now=read_clock())
        make_crls(now=read_clock())
        keys = fill_key_pool(now=read_clock(), limit=FIRST_KEYS)
        catalog = import_shipped_catalog(actor=SYSTEM, now=read_clock())
        self.answer(
            options,
            {"keys_made": keys, "tags_added": catalog.created, "catalog_version": catalog.version},
            f"Ready: {keys} signing keys made, {catalog.created} tags added to the catalog.",
        )
