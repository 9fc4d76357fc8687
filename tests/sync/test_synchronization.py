# ruff: noqa: E501  the table of bad files has one row for each
"""A synchronization file in, a response out: verified before it is used, applied once, in its turn."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps

from accounts.models import Event, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.services.virtual_accounts import change_virtual_account
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import Conflict, DomainError
from licensing.models import License, ProductInstance, StagedInstance
from licensing.services.ownership.orders import deliver_order
from pki.crypto.certificates import encode_pem
from pki.models import Certificate
from pki.services import root_queue, server_certificates
from pki.services.server_certificates import Wanted
from pki.states import ProfileName
from sync.models import Exchange, KeptRequest, LocalAccount
from sync.services.servers import remove_server
from sync.services.staging import read_kept
from sync.states import ExchangeState
from tests.keys import load_keys
from tests.pki.tools import spki_of
from tests.sync.conftest import Plant
from tests.sync.files import account, block, instance, make_csr, sign

InUse = Callable[..., int]


def count_rows() -> dict[str, int]:
    labels = ("sync", "licensing", "accounts", "alerts")
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    certificates = {"certificates": Certificate.objects.count()}
    return {model._meta.label: model._default_manager.count() for model in models} | certificates


def refusal(plant: Plant, data: bytes, **options: Any) -> DomainError:
    before, usage = count_rows(), list(ProductInstance.objects.order_by("pk").values())
    with pytest.raises(DomainError) as caught:
        plant.upload(data, **options)
    assert count_rows() == before
    assert list(ProductInstance.objects.order_by("pk").values()) == usage
    return caught.value


def order(domain: str, license: License, quantity: int, now: datetime, **fields: str) -> None:
    line = {"entitlementTag": license.tag, "quantity": quantity, **fields}
    deliver_order(actor=SYSTEM, domain=domain, virtual_account="Engineering", order_ref="O-1", lines=[line], now=now)


def test_a_file_changes_the_pools_and_the_response_carries_them(
    registered: Plant, license: License, in_use: InUse, now: datetime
):
    order("acme.example", license, 10, now)
    before = registered.server.id_cert
    exchange = registered.upload(registered.write(account(1, "Engineering", instance(7, uses={"tag_a": 3}))))
    assert (exchange.state, in_use()) == (ExchangeState.APPLIED, 3)
    response = registered.install(exchange)
    assert response[":type"] == "synchronization_response"
    assert response[":collector_instance_id"] == registered.server.uuid
    assert response[":last_generated"] == "2026-03-02T09:31:00.000Z"
    assert response[":id_cert"] != before, "the identity is renewed every time"
    [shown] = response[":synchronization"][":virtual_accounts"]
    assert (shown[":id"], shown[":name"]) == ("1", "Engineering")
    [figures] = shown[":licenses"]
    assert {key: value for key, value in figures.items() if key != ":terms"} == {
        ":tag": "tag_a",
        ":display_name": "License A",
        ":purchased_quantity": "10",
        ":reserved_quantity": "0",
        ":in_use_quantity": "3",
        ":compliance_status": "In Compliance",
    }
    assert figures[":terms"][0][":license_type"] == "PERPETUAL"
    assert exchange.difference["licenses"][0]["inUseBefore"] == 0
    assert Event.objects.filter(name="onprem.synchronized").count() == 1
    assert not StagedInstance.objects.exists()


def test_the_same_bytes_give_the_same_response_and_no_second_effect(registered: Plant, license: License, in_use: InUse):
    data = registered.write(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    first = registered.upload(data)
    before = count_rows()
    assert registered.upload(data).pk == first.pk
    assert (count_rows(), in_use()) == (before, 3)


def test_files_follow_each_other(registered: Plant, license: License, in_use: InUse):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3}), instance(8, uses={"tag_a": 1})))
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 5})))
    assert in_use() == 6
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 5})), full=True)
    assert in_use() == 5


def test_a_file_that_continues_from_an_older_response_is_a_gap(registered: Plant, license: License, in_use: InUse):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    restored = registered.server.last_sync
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 5})))
    registered.server.last_sync = restored
    error = refusal(registered, registered.write(account(1, "Engineering", instance(7, uses={"tag_a": 1}))))
    assert (error.code, isinstance(error, Conflict)) == ("SEQUENCE_GAP", True)
    assert "full" in error.message
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 1})), full=True)
    assert in_use() == 1


def test_a_time_that_we_never_gave_is_a_gap(registered: Plant):
    registered.server.last_sync = "2026-03-01T00:00:00.000Z"
    assert refusal(registered, registered.write()).code == "SEQUENCE_GAP"


def test_an_older_file_is_stale_whatever_it_continues_from(registered: Plant):
    registered.synchronize(account(1, "Engineering"))
    last = registered.generated
    for generated in (f"{last:%Y-%m-%dT%H:%M:%S}.000Z", f"{last - timedelta(days=1):%Y-%m-%dT%H:%M:%S}Z"):
        for full in (True, False):
            data = registered.write(account(1, "Engineering", instance(9)), generated=generated, full=full)
            assert refusal(registered, data).code == "STALE_FILE"


def test_a_file_from_the_future_is_out_of_range(registered: Plant, now: datetime):
    def written(after: timedelta) -> bytes:
        return registered.write(account(1, "Engineering"), generated=f"{now + after:%Y-%m-%dT%H:%M:%S}Z")

    assert refusal(registered, written(timedelta(hours=24, seconds=1))).code == "OUT_OF_RANGE"
    registered.upload(written(timedelta(hours=24)))


def test_a_removed_server_is_told_to_register_anew(registered: Plant, admin_actor: Actor, now: datetime):
    registered.synchronize(account(1, "Engineering", instance(7)))
    remove_server(actor=admin_actor, server=registered.row, now=now)
    assert ProductInstance.objects.get().state == "removed"
    assert refusal(registered, registered.write(account(1, "Engineering"))).code == "SERVER_REMOVED"
    registered.register(sign(registered.server.registration_content().replace("09:00", "11:00"), registered.server.key))
    registered.synchronize(account(1, "Engineering", instance(7)))
    assert ProductInstance.objects.get().state == "registered"


# --- trust ----


def forged(now: datetime, server: Plant) -> str:
    """A certificate that we really issued, by the right authority, with the server's name: but not to this server."""
    wanted = Wanted(ProfileName.SERVER_ID, server.server.uuid, spki_of(server.server.key))
    [issued] = server_certificates.sign_intents(server_certificates.prepare_certificates([wanted], now=now))
    return encode_pem(issued.signed.der)


def test_a_certificate_that_our_records_do_not_give_to_this_server_proves_nothing(registered: Plant, now: datetime):
    registered.server.id_cert = forged(now, registered)
    assert refusal(registered, registered.write(account(1, "Engineering"))).code == "CERTIFICATE_INVALID"


def test_another_server_of_the_same_account_cannot_speak_for_it(
    registered: Plant, admin_actor: Actor, engineering: VirtualAccount, now: datetime
):
    keys = load_keys()
    other = Plant(
        admin_actor, engineering, now, uuid="11111111-1111-4111-8111-111111111111", host="plant8.acme.example",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    other.register()
    other.server.uuid, other.server.last_sync = registered.server.uuid, registered.server.last_sync
    data = other.write(account(1, "Engineering"))
    assert refusal(registered, data).code == "CERTIFICATE_INVALID"


def test_a_local_authority_that_certifies_itself_as_the_server_is_refused(registered: Plant, now: datetime):
    registered.server.id_cert = registered.server.signing_cert
    assert refusal(registered, registered.write(account(1, "Engineering"))).code == "CERTIFICATE_INVALID"


def test_an_old_certificate_of_ours_still_counts_until_it_ends(registered: Plant, now: datetime):
    old = registered.server.id_cert
    registered.synchronize(account(1, "Engineering"))
    registered.server.id_cert = old
    registered.synchronize(account(1, "Engineering"))
    registered.server.id_cert = old
    later = now + timedelta(days=366)
    registered.generated = later
    data = registered.write(account(1, "Engineering"))
    assert refusal(registered, data, now=later).code == "CERTIFICATE_INVALID"


def test_certificates_of_an_earlier_registration_are_revoked(registered: Plant):
    old, key = registered.server.id_cert, registered.server.key
    registered.server.key = load_keys()[7]
    registered.register(confirmed=True)
    registered.server.id_cert, registered.server.key = old, key
    assert refusal(registered, registered.write(account(1, "Engineering"))).code == "CERTIFICATE_INVALID"


SIGNED_BAD: dict[str, tuple[Callable[[Plant, str], bytes], str]] = {
    "signature removed": (lambda p, c: c.encode(), "SIGNATURE_INVALID"),
    "signature of another file": (lambda p, c: c.encode() + b"---\n" + p.write().rpartition(b"---\n")[2], "SIGNATURE_INVALID"),
    "by another key": (lambda p, c: sign(c, load_keys()[1], p.server.id_cert), "SIGNATURE_INVALID"),
    "other line ends": (lambda p, c: sign(c, p.server.key, p.server.id_cert).replace(b"\n", b"\r\n"), "SIGNATURE_INVALID"),
    "no certificate": (lambda p, c: sign(c, p.server.key), "CERTIFICATE_INVALID"),
    "no PEM": (lambda p, c: sign(c, p.server.key, "x"), "CERTIFICATE_INVALID"),
    "of another server": (lambda p, c: sign(c.replace(p.server.uuid, "11111111-1111-4111-8111-111111111111"), p.server.key, p.server.id_cert), "UNKNOWN_SERVER"),
    "duplicate key": (lambda p, c: sign(c + ":sync_version: \"1\"\n", p.server.key, p.server.id_cert), "DUPLICATE"),
    "unknown key": (lambda p, c: sign(c + ":colour: blue\n", p.server.key, p.server.id_cert), "UNKNOWN_KEY"),
    "alias": (lambda p, c: sign(c + ":extensions: *x\n", p.server.key, p.server.id_cert), "FORBIDDEN_YAML"),
    "instance twice": (lambda p, c: sign(c.replace(":id: 8\n", ":id: 7\n"), p.server.key, p.server.id_cert), "DUPLICATE"),
    "account twice": (lambda p, c: sign(c + account(2, "engineering"), p.server.key, p.server.id_cert), "DUPLICATE"),
    "wrong quantity": (lambda p, c: sign(c.replace("_quantity: 3", "_quantity: 0x3"), p.server.key, p.server.id_cert), "WRONG_TYPE"),
    "weak https key": (lambda p, c: sign(c + ":tg_csr: |\n  -----BEGIN\n", p.server.key, p.server.id_cert), "CSR_INVALID"),
    "the LCS key for https": (lambda p, c: sign(c + block("tg_csr", make_csr(p.server.key, "x.example")), p.server.key, p.server.id_cert), "CSR_INVALID"),
    "the key of the browser for products": (lambda p, c: sign(c + block("tg_csr", make_csr(p.server.ssms_key, "x.example")), p.server.key, p.server.id_cert), "CSR_INVALID"),
    "cut off within": (lambda p, c: sign(c[: len(c) // 2] + "\n", p.server.key, p.server.id_cert), "MISSING_KEY"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNED_BAD)
def test_a_bad_file_is_refused_and_changes_nothing(registered: Plant, license: License, name: str):
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 2})))
    content = registered.server.synchronization_content(
        account(1, "Engineering", instance(7, uses={"tag_a": 3}), instance(8)), generated="2026-03-02T12:00:00Z"
    )
    change, code = SIGNED_BAD[name]
    error = refusal(registered, change(registered, content))
    codes = [problem["code"] for problem in error.details["errors"]]
    assert error.code == code or code in codes, codes
    assert all(problem["message"] for problem in error.details["errors"])


# --- local Virtual Accounts ----


def test_a_local_account_of_our_name_is_linked_and_followed_by_its_id(
    registered: Plant, engineering: VirtualAccount, in_use: InUse, license: License, now: datetime
):
    registered.synchronize(account(12, "engineering", instance(7, uses={"tag_a": 2})))
    assert LocalAccount.objects.get().virtual_account == engineering
    registered.synchronize(account(12, "R&D", instance(7, uses={"tag_a": 2})))
    engineering.refresh_from_db()
    assert (engineering.name, in_use()) == ("R&D", 2)


def test_a_rename_here_travels_to_the_server(
    registered: Plant, engineering: VirtualAccount, admin_actor: Actor, now: datetime
):
    registered.synchronize(account(12, "Engineering"))
    later = now + timedelta(hours=1)
    change_virtual_account(actor=admin_actor, virtual_account=engineering, name="Research", now=later)
    response = registered.synchronize(account(12, "Engineering"))
    assert response[":synchronization"][":virtual_accounts"][0][":name"] == "Research"
    registered.synchronize(account(12, "Engineering"), full=True)
    engineering.refresh_from_db()
    assert engineering.name == "Research", "a name from before the rename is no rename"
    registered.synchronize(account(12, "Research"))
    registered.generated = later + timedelta(hours=1)
    registered.synchronize(account(12, "Lab"))
    engineering.refresh_from_db()
    assert engineering.name == "Lab"


def test_an_unknown_account_is_created_where_an_administrator_registered_the_server(registered: Plant):
    response = registered.synchronize(account(1, "Engineering"), account(2, "Plant floor"))
    assert VirtualAccount.objects.filter(name="Plant floor").exists()
    names = [shown[":name"] for shown in response[":synchronization"][":virtual_accounts"]]
    assert names == ["Engineering", "Plant floor"]


# --- the rest of the file ----


def test_conversions_and_usage_reports_are_kept_encrypted_for_who_works_on_them(registered: Plant):
    more = (
        ':device_conversion_request:\n- :udi_pid: "C9300"\n  :udi_serial_number: "FCW7"\n'
        '  :software_tag_identifier: "s"\n  :conversion_lines:\n  - :conversion_type: TRUST_BASED\n'
        '    :entitlement_tag: "tag_a"\n    :count: 2\n'
        ':rum_reports:\n- :payload: "{\\"secret\\": 1}"\n  :signature: "abc="\n'
    )
    registered.synchronize(account(1, "Engineering"), more=more)
    conversion, rum = KeptRequest.objects.order_by("pk")
    assert (conversion.kind, rum.kind) == ("conversion", "rum")
    assert read_kept(conversion)[":conversion_lines"][0][":count"] == 2
    assert read_kept(rum)[":payload"] == '{"secret": 1}'
    assert b"secret" not in bytes(rum.content)


def test_https_certificates_are_issued_anew_when_their_request_comes_again(registered: Plant, now: datetime):
    before = registered.register(
        sign(registered.server.registration_content().replace("09:00", "09:02"), registered.server.key)
    )
    assert before.state == ExchangeState.APPLIED
    csr = make_csr(registered.server.tg_key, "10.0.0.7")
    response = registered.synchronize(account(1, "Engineering"), more=block("tg_csr", csr))
    again = registered.synchronize(account(1, "Engineering"))
    assert response[":tg_ssl_cert"] == again[":tg_ssl_cert"]
    assert response[":id_cert"] != again[":id_cert"]


def test_the_three_tier_certificate_is_in_every_response_once_it_is_signed(registered: Plant, now: datetime):
    two_days = now + timedelta(hours=48)
    assert root_queue.sign_due(now=two_days - timedelta(seconds=1)) == 0
    assert ":local_sub_ca_cert" not in registered.synchronize(
        account(1, "Engineering"), now=two_days - timedelta(seconds=1)
    )
    assert root_queue.sign_due(now=two_days + timedelta(seconds=1)) == 1
    registered.generated = two_days
    first = registered.synchronize(account(1, "Engineering"), now=two_days + timedelta(seconds=1))
    again = registered.synchronize(account(1, "Engineering"), now=two_days + timedelta(hours=1))
    assert first[":local_sub_ca_cert"] == again[":local_sub_ca_cert"] != first[":local_sub_ca_cert_1_1"]


# --- dry run ----


def test_a_dry_run_tells_everything_and_changes_nothing(
    registered: Plant, license: License, in_use: InUse, now: datetime
):
    order("acme.example", license, 2, now)
    registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 2})))
    data = registered.write(account(1, "Engineering", instance(8, uses={"tag_a": 3})), account(2, "New"), full=True)
    instances = list(ProductInstance.objects.values())
    exchange = registered.upload(data, dry_run=True)
    assert exchange.state == ExchangeState.COMPARED
    difference = exchange.difference
    assert (difference["instances"]["added"], difference["instances"]["removed"]) == (1, 1)
    assert difference["instances"]["addedNames"] == ["C9300-24UX:FCW8"]
    assert difference["virtualAccounts"]["created"] == ["New"]
    [license_row] = difference["licenses"]
    assert (license_row["inUseBefore"], license_row["inUse"], license_row["status"]) == (2, 3, "Out Of Compliance")
    assert (list(ProductInstance.objects.values()), in_use()) == (instances, 2)
    assert not VirtualAccount.objects.filter(name="New").exists()
    assert not StagedInstance.objects.exists()
    applied = registered.upload(data)
    assert applied.state == ExchangeState.APPLIED
    assert (applied.difference, in_use()) == (difference, 3)
    assert Exchange.objects.applied().count() == 3


def test_one_product_direct_and_on_prem_of_two_customers_is_marked_and_not_a_file_error(
    registered: Plant, umbrella: SmartAccount, mallory: User, license: License, in_use: InUse, now: datetime
):
    keys = load_keys()
    other = Plant(
        actor_for_user(mallory), VirtualAccount.objects.get(smart_account=umbrella), now,
        uuid="11111111-1111-4111-8111-111111111111", host="p.umbrella.example",
        key=keys[3], tg_key=keys[4], ssms_key=keys[5],
    )  # fmt: skip
    other.register()
    other.synchronize(account(1, "DEFAULT", instance(7)))
    response = registered.synchronize(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    assert response[":marked"] == [
        {
            ":id": "7",
            ":udi_pid": "C9300-24UX",
            ":udi_serial_number": "FCW7",
            ":reason": "claimed_elsewhere",
            ":message": "This product is registered elsewhere; it counts there.",
        }
    ]
    assert in_use() == 0
