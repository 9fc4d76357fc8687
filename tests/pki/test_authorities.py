from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from pki import keystore
from pki.errors import AuthorityMissing, PassphraseMissing
from pki.models import Authority, Certificate, SigningRequest, StoredKey
from pki.services import authorities, ca_log
from pki.services.authorities import AuthorityName, bootstrap_authorities
from pki.states import RequestState


def _snapshot() -> list[tuple[str, bytes]]:
    return [(row.name, bytes(row.certificate_der)) for row in Authority.objects.order_by("pk")]


def test_bootstrap_makes_each_authority_once(hierarchy: None, now: datetime) -> None:
    before = _snapshot()
    bootstrap_authorities(now=now + timedelta(days=30))
    assert _snapshot() == before
    assert [name for name, _ in before] == list(AuthorityName)
    assert StoredKey.objects.count() == len(AuthorityName)
    assert Certificate.objects.count() == len(AuthorityName)
    assert ca_log.verify_ca_log().problems == ()


def test_bootstrap_needs_the_passphrase_only_when_something_is_missing(
    db: None, now: datetime, settings: Settings
) -> None:
    passphrase, settings.ROOT_KEY_PASSPHRASE = settings.ROOT_KEY_PASSPHRASE, ""
    with pytest.raises(PassphraseMissing):
        bootstrap_authorities(now=now)
    assert not Authority.objects.exists()
    settings.ROOT_KEY_PASSPHRASE = passphrase
    bootstrap_authorities(now=now)
    settings.ROOT_KEY_PASSPHRASE = ""
    bootstrap_authorities(now=now)


def test_before_bootstrap_the_missing_authority_is_named(db: None) -> None:
    with pytest.raises(AuthorityMissing, match=r"manage\.py bootstrap"):
        authorities.sub_ca_pem()
    assert "manage.py bootstrap" in authorities.find_problems()[0]


def test_a_bootstrap_that_died_halfway_is_finished_with_the_same_key(
    db: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(keystore, "sign_as_root", die)
        with pytest.raises(RuntimeError):
            bootstrap_authorities(now=now)
    [half] = Authority.objects.all()
    assert not half.certificate_der
    bootstrap_authorities(now=now)
    assert authorities.get_authority(AuthorityName.ROOT).key.pk == half.key_id
    assert authorities.find_problems() == []


def test_two_bootstraps_at_once_end_with_one_hierarchy(
    db: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second runs to its end whenever the first is between making a key and taking a name, or about to sign."""
    make, sign = keystore.make_key, keystore.sign_as_root
    nested: list[str] = []

    def overtaken(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if not nested:
                nested.append("once")
                bootstrap_authorities(now=now)
            return original(*arguments, **options)

        return call

    for name, original in (("make_key", make), ("sign_as_root", sign)):
        nested.clear()
        Certificate.objects.all().delete()
        SigningRequest.objects.all().delete()
        Authority.objects.all().delete()
        with monkeypatch.context() as patch:
            patch.setattr(keystore, name, overtaken(original))
            bootstrap_authorities(now=now)
        assert nested
        assert [row for row, _ in _snapshot()] == list(AuthorityName)
        assert Certificate.objects.count() == len(AuthorityName)
        assert not SigningRequest.objects.filter(state=RequestState.PENDING).exists()
        assert authorities.find_problems() == []
