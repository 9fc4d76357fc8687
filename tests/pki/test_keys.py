"""Private keys stay wrapped, and open only as what they are."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from pki import keystore
from pki.crypto import messages, wrapping
from pki.errors import PassphraseMissing, Undecipherable
from pki.models import StoredKey
from pki.services import authorities, key_pool, signing, vault
from pki.services.authorities import AuthorityName
from tests.keys import load_keys
from tests.pki.tools import spki_of

KEY = wrapping.derive_key("a secret of the environment", "tests")


@given(plaintext=st.binary(max_size=300), context=st.text(max_size=20))
def test_what_is_wrapped_opens_again(plaintext: bytes, context: str) -> None:
    assert wrapping.unwrap(KEY, wrapping.wrap(KEY, plaintext, context=context), context=context) == plaintext


@given(data=st.data())
def test_one_changed_bit_and_it_does_not_open(data: st.DataObject) -> None:
    wrapped = bytearray(wrapping.wrap(KEY, b"secret", context="token:1"))
    position = data.draw(st.integers(0, len(wrapped) - 1))
    wrapped[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Undecipherable):
        wrapping.unwrap(KEY, bytes(wrapped), context="token:1")


@pytest.mark.parametrize("length", [0, 1, 10, 44])
def test_a_cut_value_does_not_open(length: int) -> None:
    with pytest.raises(Undecipherable):
        wrapping.unwrap(KEY, wrapping.wrap(KEY, b"", context="x")[:length], context="x")


def test_the_same_value_is_never_wrapped_to_the_same_bytes() -> None:
    assert wrapping.wrap(KEY, b"secret", context="x") != wrapping.wrap(KEY, b"secret", context="x")


def test_a_value_moved_to_another_row_does_not_open() -> None:
    blob = vault.wrap(b"secret", context="token:1")
    assert vault.unwrap(blob, context="token:1") == b"secret"
    with pytest.raises(Undecipherable):
        vault.unwrap(blob, context="token:2")


def test_under_another_key_encryption_key_nothing_opens(db: None, now: datetime, settings: Settings) -> None:
    blob = vault.wrap(b"secret", context="token:1")
    key = key_pool.claim_key(now=now)
    authorities.bootstrap_authorities(now=now)
    assert authorities.find_problems() == []
    settings.KEY_ENCRYPTION_KEY = "another-key-encryption-key-0123456789abcdef"
    with pytest.raises(Undecipherable):
        vault.unwrap(blob, context="token:1")
    with pytest.raises(Undecipherable):
        signing.sign_with_key(key, b"message")
    assert "Wrapped under another key" in authorities.find_problems()[0]


def test_a_private_key_is_nowhere_in_the_database_in_plain(db: None, now: datetime) -> None:
    key = key_pool.claim_key(now=now)
    modulus_factor = load_keys()[0].private_numbers().p.to_bytes(128, "big")
    row = StoredKey.objects.get(pk=key.id)
    assert modulus_factor not in bytes(row.wrapped)
    assert repr(key) == f"KeyRef(id={key.id}, purpose=<KeyPurpose.MESSAGES: 'messages'>)"


def test_a_key_swapped_into_another_row_signs_nothing(db: None, now: datetime) -> None:
    one, other = key_pool.claim_key(now=now), key_pool.claim_key(now=now)
    with pytest.raises(Undecipherable):
        signing.sign_with_key(replace(one, wrapped=other.wrapped), b"message")
    with pytest.raises(Undecipherable):
        signing.sign_with_blob(one.wrapped, key_id=other.id, message=b"message")


def test_an_authoritys_key_signs_no_messages(hierarchy: None) -> None:
    key = authorities.get_authority(AuthorityName.PRODUCT_SUB_CA).key.ref
    with pytest.raises(Undecipherable):
        signing.sign_with_key(key, b"message")


def test_a_signature_verifies_with_its_key_and_no_other(db: None, now: datetime) -> None:
    key = key_pool.claim_key(now=now)
    signature = signing.sign_with_key(key, b"message")
    assert signature == signing.sign_with_key(key.id, b"message")
    assert messages.verify_signature(key.spki_der, signature, b"message")
    assert not messages.verify_signature(key.spki_der, signature, b"massage")
    assert not messages.verify_signature(key.spki_der, signature[:-1], b"message")
    assert not messages.verify_signature(key.spki_der, b"", b"message")
    assert not messages.verify_signature(spki_of(load_keys()[5]), signature, b"message")


def test_the_reservation_key_signs_with_ecdsa(hierarchy: None) -> None:
    key = authorities.get_authority(AuthorityName.RESERVATION_SIGNING).key.ref
    signature = keystore.sign_as_authority(key, b"message")
    assert messages.verify_signature(key.spki_der, signature, b"message")
    assert not messages.verify_signature(key.spki_der, signature, b"massage")


def test_the_root_key_opens_only_with_its_passphrase(hierarchy: None, settings: Settings) -> None:
    key = authorities.get_authority(AuthorityName.ROOT).key.ref
    signature = keystore.sign_as_root(key, b"m", passphrase=settings.ROOT_KEY_PASSPHRASE)
    assert messages.verify_signature(key.spki_der, signature, b"m")
    with pytest.raises(Undecipherable):
        keystore.sign_as_root(key, b"m", passphrase="wrong")
    with pytest.raises(PassphraseMissing):
        keystore.sign_as_root(key, b"m", passphrase="")
    with pytest.raises(ValueError, match=r"deserialize|parse"):
        keystore.sign_as_authority(key, b"m")
