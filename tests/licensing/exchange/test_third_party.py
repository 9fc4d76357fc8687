"""Third-party keys: the provider's answer is passed on, and nothing is lost while it does not answer."""

import pytest

from accounts.models import Event
from licensing.models import ThirdPartyKey
from licensing.services.exchange import third_party
from licensing.services.exchange.providers import Key, ProviderDown, find_provider
from licensing.states import ThirdParty

ASKED = {"provider": "SPEECHVIEW", "key_name": "transcription", "key_id": "7", "parameters": {"seats": "10"}}


class Provider:
    """It counts how often it was asked, and for what."""

    def __init__(self):
        self.asked, self.is_down = [], False

    def fetch_keys(self, request):
        self.asked.append(request)
        if self.is_down:
            raise ProviderDown(retry_seconds=120)
        return [Key("license", f"value of {request.key_name}")]

    def list_server_keys(self, *, server, smart_account):
        return []


@pytest.fixture
def provider(monkeypatch):
    provider = Provider()
    monkeypatch.setattr(third_party, "find_provider", lambda name: provider)
    return provider


def test_the_keys_come_with_the_account_the_product_and_its_registration(registered, provider):
    reply = registered.ask("THIRD_PARTY_KEY", ASKED)
    assert (reply.code, reply.is_by(registered.signing_cert)) == (None, True)
    assert reply.data == {
        "virtual_account": "Engineering",
        "sudi": registered.sudi,
        "piid": registered.piid,
        "keys": [{"name": "license", "value": "value of transcription"}],
    }
    [asked] = provider.asked
    assert (asked.provider, asked.key_id, asked.parameters) == (ThirdParty.SPEECHVIEW, "7", {"seats": "10"})
    assert (asked.smart_account, asked.virtual_account, asked.udi) == ("acme.example", "Engineering", registered.udi)
    assert Event.objects.get(name="third_party.key_given").message == (
        f"{registered.udi} was given the key transcription of SpeechView."
    )


def test_the_same_request_asks_the_provider_once(registered, provider):
    first = registered.ask("THIRD_PARTY_KEY", ASKED)
    registered.wait(hours=1)
    again = registered.ask("THIRD_PARTY_KEY", ASKED)
    assert again.data == first.data
    assert len(provider.asked) == 1
    other = registered.ask("THIRD_PARTY_KEY", {**ASKED, "key_id": "8"})
    assert other.code is None
    assert len({each.reference for each in provider.asked}) == 2


def test_a_provider_that_is_down_loses_nothing(registered, provider, count_rows):
    before = count_rows()
    provider.is_down = True
    body = registered.request("THIRD_PARTY_KEY", ASKED)
    reply = registered.send(body)
    assert (reply.content["status_code"], reply.code) == ("OK_TRY_AGAIN", "INTERNAL")
    assert reply.content["retry_time_seconds"] == 120
    assert reply.is_by(registered.signing_cert)
    assert count_rows() == before
    provider.is_down = False
    assert registered.send(body).data["keys"]
    assert len({each.reference for each in provider.asked}) == 1


def test_the_keys_are_kept_encrypted(registered, provider):
    registered.ask("THIRD_PARTY_KEY", ASKED)
    assert b"transcription" not in bytes(ThirdPartyKey.objects.get().sealed)


def test_the_sandbox_has_a_key_for_everybody_and_shows_a_refusal_and_an_outage(registered):
    ask = lambda name: registered.ask("THIRD_PARTY_KEY", {"provider": "PNP", "key_name": name})  # noqa: E731
    [key] = ask("any").data["keys"]
    assert key["value"].startswith("SANDBOX-")
    assert ask("UNKNOWN").code == "NOT_ENTITLED"
    down = ask("DOWN")
    assert (down.content["status_code"], down.content["retry_time_seconds"]) == ("OK_TRY_AGAIN", 60)


def test_a_provider_that_is_not_enabled_is_refused(registered, settings):
    settings.THIRD_PARTY_PROVIDERS = {"PNP": ""}
    assert find_provider(ThirdParty.PNP) is None
    reply = registered.ask("THIRD_PARTY_KEY", {"provider": "PNP", "key_name": "any"})
    assert reply.code == "NOT_ENTITLED"
    assert "not enabled" in reply.content["status_message"]


@pytest.mark.parametrize(
    "data",
    [
        {"provider": "NUANCE", "key_name": "a"},
        {"provider": "PNP"},
        {"provider": "PNP", "key_name": ""},
        {"provider": "PNP", "key_name": "a", "parameters": {"a": {}}},
        {"provider": "PNP", "key_name": "a", "parameters": {"a" * 65: "b"}},
    ],
)
def test_a_request_out_of_order_is_malformed(registered, data, count_rows):
    before = count_rows()
    assert registered.ask("THIRD_PARTY_KEY", data).code == "MALFORMED"
    assert count_rows() == before
