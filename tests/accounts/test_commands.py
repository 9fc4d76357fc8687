import json

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiClient, SmartAccount


def test_create_smart_account_exits_2_when_it_exists(acme, capsys):
    with pytest.raises(SystemExit) as left:
        call_command("create_smart_account", "acme.example", "--name", "Acme", "--admin", "x@acme.example")
    assert left.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_create_smart_account_sets_its_flags(capsys):
    arguments = ("--name", "New", "--admin", "a@new.example", "--plr", "--no-slr", "--export-restricted", "--json")
    call_command("create_smart_account", "new.example", *arguments)
    account = SmartAccount.objects.get()
    assert (account.plr_enabled, account.slr_enabled, account.export_status) == (True, False, "restricted")
    assert json.loads(capsys.readouterr().out)["domain"] == "new.example"


@pytest.mark.django_db
def test_create_smart_account_refuses_what_is_no_domain():
    with pytest.raises(CommandError):
        call_command("create_smart_account", "no domain", "--name", "x", "--admin", "a@new.example")


def test_create_api_client_prints_only_json(acme, engineering, capsys):
    call_command("create_api_client", "acme.example", "--role", "VA_USER", "--virtual-account", "Engineering")
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"client_id", "client_secret"}
    assert ApiClient.objects.get(client_id=answer["client_id"]).virtual_account == engineering


@pytest.mark.django_db
def test_create_api_client_makes_operator_clients(capsys):
    call_command("create_api_client", "--operator")
    assert ApiClient.objects.get(client_id=json.loads(capsys.readouterr().out)["client_id"]).is_operator


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("acme.example",),
        ("acme.example", "--role", "SA_ADMIN", "--operator"),
        ("nowhere.example", "--role", "SA_ADMIN"),
        ("acme.example", "--role", "VA_USER"),
        ("acme.example", "--role", "VA_USER", "--virtual-account", "nowhere"),
        ("acme.example", "--role", "KING"),
    ],
)
def test_create_api_client_refuses_what_makes_no_sense(acme, arguments, capsys):
    with pytest.raises(CommandError):
        call_command("create_api_client", *arguments)
    assert capsys.readouterr().out == ""
    assert not ApiClient.objects.exists()
