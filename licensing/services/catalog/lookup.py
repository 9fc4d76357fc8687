"""Finding licenses and software by tag. The device path asks for the same few tags thousands of times a second."""

import threading
import time
from collections.abc import Iterable
from typing import Final

from licensing.models import CatalogHead, License, SoftwareTag

TRUST_SECONDS: Final = 5.0
"""How long another process's import may go unseen. Only known tags are kept: a miss is always looked up."""


class _Cache:
    """Licenses by tag as of one catalog version."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.version = -1
        self.checked_at = float("-inf")
        self.licenses: dict[str, License] = {}

    def current(self) -> dict[str, License]:
        """The kept licenses, dropped first where the catalog has a newer version (asked at most every 5 seconds)."""
        moment = time.monotonic()
        if moment - self.checked_at >= TRUST_SECONDS:
            # The version is read before any license is, so that a newer license under an older version is the worst.
            version = CatalogHead.objects.values_list("version", flat=True).first() or 0
            with self.lock:
                if version != self.version:
                    self.version, self.licenses = version, {}
                self.checked_at = moment
        return self.licenses

    def forget(self) -> None:
        with self.lock:
            self.version, self.checked_at, self.licenses = -1, float("-inf"), {}


_cache = _Cache()


def licenses_by_tag(tags: Iterable[str]) -> dict[str, License]:
    """The licenses of those tags that name one. Shared objects of this process: read them, never change them."""
    known = _cache.current()
    wanted = list(tags)
    found = {tag: known[tag] for tag in wanted if tag in known}
    missing = {tag for tag in wanted if tag not in found}
    if missing:
        for license in License.objects.filter(tag__in=missing):
            found[license.tag] = known[license.tag] = license
    return found


def find_license(tag: str) -> License | None:
    """The license that the entitlement tag names, exactly as written."""
    return License.objects.filter(tag=tag).first()


def find_software(short_hash: str) -> list[SoftwareTag]:
    """Software tags whose short hash (of a reservation request code) it is: none, one, or very rarely more."""
    return list(SoftwareTag.objects.filter(short_hash=short_hash).order_by("tag"))


def forget_licenses() -> None:
    """Drop what this process keeps: after an import here, and between tests."""
    _cache.forget()
