"""Settings come from the environment, secrets also from files; without good secrets nothing starts."""

import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from cssm.mail_url import read_email_url

SHOW = """
import json, sys
from cssm import settings
names = sys.argv[1:]
print(json.dumps({name: getattr(settings, name) for name in names}))
"""
GOOD = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "KEY_ENCRYPTION_KEY")}


def start(folder: Path, environment: dict[str, str], *names: str) -> "subprocess.CompletedProcess[str]":
    """A process with these settings alone, and no `.env` of a developer beside it."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-W", "ignore", "-c", SHOW, *names]
    return subprocess.run(
        command,
        env={**inherited, "VAR_DIR": str(folder), "PYTHONPATH": str(settings.BASE_DIR), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def read(folder: Path, environment: dict[str, str], *names: str) -> dict[str, object]:
    finished = start(folder, environment, *names)
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, object] = json.loads(finished.stdout)
    return answer


@pytest.fixture(autouse=True)
def _no_env_file() -> None:
    if (settings.BASE_DIR / ".env").exists():
        pytest.skip("this checkout has a .env of its own, which would be read too")


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("SECRET_KEY", ""),
        ("KEY_ENCRYPTION_KEY", ""),
        ("SECRET_KEY", "tiny"),
        ("KEY_ENCRYPTION_KEY", "change-me-change-me-change-me-change-me-change-me"),
        ("SECRET_KEY", "django-insecure-3f9a0d7c5e1b8246a9c0e7d5f3b1a28c64e0"),
        ("SECRET_KEY", "only-for-debug-secret_key-0123456789abcdef"),
        ("KEY_ENCRYPTION_KEY", "0" * 64),
    ],
)
def test_it_does_not_start_with_a_missing_or_sample_secret(tmp_path: Path, name: str, sample: str):
    refused = start(tmp_path, {**GOOD, name: sample})
    assert refused.returncode != 0
    assert f"{name} must be set to a random secret" in refused.stderr
    if sample:
        assert sample not in refused.stderr


def test_debug_starts_without_secrets(tmp_path: Path):
    assert start(tmp_path, {"DEBUG": "true"}).returncode == 0


def test_debug_is_off_unless_it_is_asked_for(tmp_path: Path):
    assert read(tmp_path, GOOD, "DEBUG") == {"DEBUG": False}


def test_secrets_may_lie_in_files(tmp_path: Path):
    names = ("SECRET_KEY", "KEY_ENCRYPTION_KEY", "ROOT_KEY_PASSPHRASE", "METRICS_TOKEN")
    written = {}
    for name in names:
        written[name] = base64.b64encode(secrets.token_bytes(40)).decode()
        (tmp_path / name).write_text(f"{written[name]}\n")
    (tmp_path / "database").write_text("postgres://portal:pass@db.example:5432/portal\n")
    (tmp_path / "mail").write_text("smtp+tls://user:word@mail.example:587\n")
    environment = {f"{name}_FILE": str(tmp_path / name) for name in names}
    environment |= {"DATABASE_URL_FILE": str(tmp_path / "database"), "EMAIL_URL_FILE": str(tmp_path / "mail")}
    answer = read(tmp_path, environment, *names, "DATABASES", "EMAIL_HOST_PASSWORD")
    assert {name: answer[name] for name in names} == written
    assert answer["DATABASES"]["default"]["PASSWORD"] == "pass"  # type: ignore[index]
    assert answer["EMAIL_HOST_PASSWORD"] == "word"


def test_a_secret_whose_file_is_missing_is_told_by_name(tmp_path: Path):
    refused = start(tmp_path, {**GOOD, "SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "nowhere")})
    assert refused.returncode != 0
    assert "nowhere" in refused.stderr


def test_cookies_follow_the_scheme_of_the_public_address(tmp_path: Path):
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "ALLOWED_HOSTS")
    plain = read(tmp_path, GOOD, *names)
    assert (plain["SESSION_COOKIE_SECURE"], plain["CSRF_COOKIE_SECURE"]) == (False, False)
    secure = read(tmp_path, {**GOOD, "PUBLIC_URL": "https://portal.example"}, *names)
    assert (secure["SESSION_COOKIE_SECURE"], secure["CSRF_COOKIE_SECURE"]) == (True, True)
    assert {"portal.example", "127.0.0.1", "localhost"} <= set(secure["ALLOWED_HOSTS"])  # type: ignore[call-overload]


def test_commands_name_the_address_that_make_run_serves(tmp_path: Path):
    (tmp_path / "run.env").write_text("PUBLIC_URL=http://127.0.0.1:9123\n")
    assert read(tmp_path, GOOD, "PUBLIC_URL") == {"PUBLIC_URL": "http://127.0.0.1:9123"}
    given = read(tmp_path, {**GOOD, "PUBLIC_URL": "https://portal.example"}, "PUBLIC_URL")
    assert given == {"PUBLIC_URL": "https://portal.example"}


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://mail.example", 25, False, False),
        ("smtp://mail.example:2525", 2525, False, False),
        ("smtp+tls://user:word@mail.example:587", 587, True, False),
        ("submission://user:word@mail.example", 587, True, False),
        ("smtp+ssl://user:word@mail.example", 465, False, True),
        ("smtps://user:word@mail.example:4650", 4650, False, True),
    ],
)
def test_a_mail_server_is_spoken_to_as_its_address_says(url: str, port: int, tls: bool, ssl: bool):
    values = read_email_url(url)
    assert (values["EMAIL_PORT"], values["EMAIL_USE_TLS"], values["EMAIL_USE_SSL"]) == (port, tls, ssl)
    assert (values["EMAIL_HOST"], values["EMAIL_BACKEND"].rsplit(".", 2)[-2]) == ("mail.example", "smtp")


def test_a_mail_address_that_nobody_knows_is_told_without_its_password():
    with pytest.raises(ImproperlyConfigured, match="smpt") as told:
        read_email_url("smpt://user:word@mail.example")
    assert "word" not in str(told.value)
