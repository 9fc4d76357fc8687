"""Signing in, signing up, and the second factor, over HTTP."""

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core import mail

from accounts.models import Membership, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def path_in_mail(pattern):
    (path,) = re.findall(pattern, str(mail.outbox[0].body))
    return path


def sign_in(client, email, password=PASSWORD):
    return client.post("/login/", {"login": email, "password": password})


def test_a_person_signs_in_by_address_in_any_case_and_out_again(client, alice, acme):
    assert client.get("/profile/").headers["Location"] == "/login/?next=/profile/"
    assert sign_in(client, "Alice@ACME.example").headers["Location"] == "/"
    assert client.get("/").headers["Location"] == "/accounts/acme.example/"
    assert client.get("/logout/").status_code == 200
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/profile/").status_code == 302


@pytest.mark.parametrize(("email", "password"), [("alice@acme.example", "wrong"), ("nobody@acme.example", PASSWORD)])
def test_a_wrong_password_and_an_unknown_address_look_the_same(client, alice, email, password):
    answer = sign_in(client, email, password)
    assert answer.status_code == 200
    assert "are not correct" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_an_inactive_person_does_not_get_in(client, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    sign_in(client, alice.email)
    assert "_auth_user_id" not in client.session


def test_a_new_person_confirms_the_address_and_holds_nothing(client):
    answer = client.post(
        "/signup/", {"email": "New@Else.example", "password1": PASSWORD, "password2": PASSWORD}, follow=True
    )
    assert answer.status_code == 200
    user = User.objects.get(email="new@else.example")
    assert not Membership.objects.filter(user=user).exists()
    sign_in(client, user.email)
    assert "_auth_user_id" not in client.session
    link = path_in_mail(r"http://\S+(/account/confirm-email/\S+/)")
    assert client.get(link).status_code == 200
    client.post(link)
    assert EmailAddress.objects.get(email=user.email).verified
    sign_in(client, user.email)
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_forgotten_password_is_reset_by_mail(client, alice):
    assert client.get("/account/password/reset/").status_code == 200
    client.post("/account/password/reset/", {"email": alice.email})
    link = path_in_mail(r"http://\S+(/account/password/reset/key/\S+/)")
    page = client.get(link, follow=True)
    new = "another correct horse battery"
    client.post(page.request["PATH_INFO"], {"password1": new, "password2": new})
    sign_in(client, alice.email, new)
    assert client.session["_auth_user_id"] == str(alice.pk)


def test_a_second_factor_is_asked_for(client, alice, acme):
    secret = generate_totp_secret()
    TOTP.activate(alice, secret)
    RecoveryCodes.activate(alice)
    assert sign_in(client, alice.email).headers["Location"].startswith("/account/two-factor/authenticate/")
    assert client.get("/accounts/acme.example/manage/").status_code == 302
    page = client.get("/account/two-factor/authenticate/")
    assert "two-factor authentication" in page.content.decode()
    assert "_auth_user_id" not in client.session
    client.post("/account/two-factor/authenticate/", {"code": "000000"})
    assert "_auth_user_id" not in client.session
    code = format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))
    client.post("/account/two-factor/authenticate/", {"code": code})
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert Authenticator.objects.filter(user=alice).count() == 2


@pytest.mark.parametrize(
    "path",
    [
        "/account/email/",
        "/account/password/change/",
        "/account/two-factor/",
        "/profile/",
        "/requests/",
        "/requests/access/",
        "/requests/new-account/",
    ],
)
def test_the_pages_about_oneself_are_drawn_in_our_frame(alice_client, path):
    page = alice_client.get(path)
    assert page.status_code == 200
    text = page.content.decode()
    assert "Smart Account Portal</title>" in text
    assert 'class="skip-link"' in text
    assert "<script>" not in text


def test_the_second_factor_is_set_up_after_the_password_was_asked_again(alice_client, alice):
    page = alice_client.get("/account/two-factor/totp/activate/", follow=True)
    assert page.request["PATH_INFO"] == "/account/reauthenticate/"
    assert page.status_code == 200
    assert "password" in page.content.decode().lower()
