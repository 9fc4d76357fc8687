"""Every URL × every role × another tenant: who gets in is what the table says, no more and no less."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AccessRequest, AccountTag, Membership, SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_client, actor_for_user
from accounts.services.api_clients import create_api_client, create_operator_client
from alerts.models import Alert, Subscription
from alerts.states import AlertType, Frequency
from cssm.common.actor import SYSTEM, Actor
from cssm.common.permissions import OPERATOR_PERMISSIONS, ROLE_PERMISSIONS, Access, Permission, Role
from licensing.models import (
    AuthorizationCode,
    HaGroup,
    License,
    LicenseFamily,
    Meter,
    Origin,
    OwnershipRecord,
    Pool,
    PoolUnit,
    ProductInstance,
    PurchaseLine,
    Reservation,
    RumReport,
    RumUpload,
)
from licensing.services.devices.tokens import create_token
from pki.services import vault
from pki.services.authorities import bootstrap_authorities
from sync.models import Exchange, LocalAccount, OnPremServer
from tests.api.conftest import obtain_token
from tests.architecture.permission_table import ACCOUNT, API, OTHER_PREFIXES, PUBLIC, ROUTES
from tests.conftest import NOW
from tests.keys import use_checked_in_keys

pytestmark = pytest.mark.architecture

OWN_APPS = {"cssm", "accounts", "alerts", "licensing", "sync", "pki"}
STRANGER, NEIGHBOUR, OPERATOR = "another company's administrator", "administrator of another VA", "operator"
PERSONAS = [*(role.value for role in Role), NEIGHBOUR, STRANGER, OPERATOR]


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "view_class", getattr(pattern.callback, "cls", pattern.callback))
            if view.__module__.split(".")[0] in OWN_APPS:
                yield route, view


def test_every_route_is_in_the_table():
    found = {route for route, _ in routes(get_resolver().url_patterns) if not route.startswith(OTHER_PREFIXES)}
    assert found - set(ROUTES) - PUBLIC == set()
    assert (set(ROUTES) | PUBLIC) - found == set()


def test_other_prefixes_lead_to_the_same_views():
    listed = dict(routes(get_resolver().url_patterns))
    for route, view in listed.items():
        if route.startswith(OTHER_PREFIXES):
            tail = route.split("api/v1/", 1)[1] if "smart-accounts" not in route else route.rsplit("licensing/", 1)[1]
            known = f"{API}v1/{tail}" if "smart-accounts" not in route else f"{API}{tail}"
            assert listed[known] is view


@pytest.fixture
def world(
    acme: SmartAccount,
    umbrella: SmartAccount,
    engineering: VirtualAccount,
    bob: User,
    olivia: User,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """One object of every kind that an address names, all in Acme's Engineering, and a VA beside it."""
    use_checked_in_keys(monkeypatch)
    bootstrap_authorities(now=NOW)
    neighbouring = VirtualAccount.objects.create(smart_account=acme, name="Sales", created_at=NOW)
    here = {"smart_account": acme, "virtual_account": engineering}
    family = LicenseFamily.objects.create(name="family")
    license = License.objects.create(tag="tag", family=family, display_name="License", default_type="perpetual")
    unit = PoolUnit.objects.create(**here, family=family)
    origin, _ = Origin.objects.get_or_create(name="direct")
    instance = ProductInstance.objects.create(
        **here, origin=origin, external_id="x", piid=uuid.uuid4(), udi="P:S", udi_pid="P", udi_serial_number="S",
        software_tag="tag", state="registered", registered_at=NOW,
        ha_group=HaGroup.objects.create(**here, created_at=NOW),
    )  # fmt: skip
    alert = Alert.objects.create(
        **here, type=AlertType.INSUFFICIENT_LICENSES, severity=AlertType.INSUFFICIENT_LICENSES.severity, cause="pool:1",
        raised_at=NOW, updated_at=NOW,
    )  # fmt: skip
    request = AccessRequest.objects.create(
        requester=bob, kind="existing_account", domain=acme.domain, smart_account=acme, status="pending", created_at=NOW
    )
    wanted = AccessRequest.objects.create(
        requester=bob, kind="new_account", domain="new.example", name="New", status="pending", created_at=NOW
    )
    address = Subscription.objects.create(
        recipient="address:x@acme.example", address="x@acme.example", smart_account=acme, changed_at=NOW,
        alert_type=AlertType.INSUFFICIENT_LICENSES, frequency=Frequency.IMMEDIATE,
    )  # fmt: skip
    client, _ = create_api_client(actor=SYSTEM, smart_account=acme, role=Role.SA_VIEWER, name="x", now=NOW)
    token, _ = create_token(actor=SYSTEM, virtual_account=engineering, now=NOW)
    membership = Membership.objects.get(user=bob)
    record = OwnershipRecord.objects.create(**here, kind="delivery", key="x", actor_kind="system", at=NOW)
    line = PurchaseLine.objects.create(
        **here, license=license, record=record, quantity=1, license_type="perpetual", start=NOW, created_at=NOW
    )
    transfer = OwnershipRecord.objects.create(**here, kind="transfer", key="y", actor_kind="system", at=NOW)
    reservation = Reservation.objects.create(
        **here, instance=instance, kind="specific", state="authorized", request_code="x", sequence="B", udi="P:S",
        created_at=NOW, state_since=NOW,
    )  # fmt: skip
    code = AuthorizationCode.objects.create(**here, reservation=reservation, timestamp=1, created_at=NOW)
    AuthorizationCode.objects.filter(pk=code.pk).update(
        sealed=vault.wrap(b"x", context=f"authorization-code:{code.pk}")
    )
    server = OnPremServer.objects.create(
        **here, uuid=uuid.uuid4(), name="x", state="registered", registered_at=NOW, lcs_key=b"x",
        origin=Origin.objects.create(name="x", smart_account=acme),
    )  # fmt: skip
    exchange = Exchange.objects.create(
        **here, server=server, kind="synchronization", state="applied", digest="x", size=0, created_at=NOW,
        created_by_kind="system", finished_at=NOW,
    )  # fmt: skip
    local = LocalAccount.objects.create(smart_account=acme, server=server, local_id="1", name="x", named_at=NOW)
    meter = Meter.objects.create(smart_account=acme, udi="P:S", tag="tag")
    upload = RumUpload.objects.create(
        **here, channel="upload", created_at=NOW, created_by_kind="system", results=[{"virtual_account": engineering.pk,
        "status": "ACCEPTED", "udi": "P:S", "report_id": 1, "sudi": {}, "software_tag": "x"}],
    )  # fmt: skip
    report = RumReport.objects.create(
        **here, meter=meter, udi="P:S", report_id=1, payload="{}", digest="x", signing_type="builtin",
        is_verified=False, is_closed=True, channel="device", software_tag="x", period_start=NOW, period_end=NOW,
        unmeasured_seconds=0, peak=0, received_at=NOW,
    )  # fmt: skip
    tag = AccountTag.objects.create(smart_account=acme, name="x", created_at=NOW)
    return {
        "acme": acme, "engineering": engineering, "neighbouring": neighbouring, "olivia": olivia,
        "token": token.pk, "pool": Pool.objects.create(**here, license=license, unit=unit).pk, "piid": instance.piid,
        "alert": alert.pk, "request": request.pk, "wanted": wanted.pk, "address": address.pk, "client": client.pk,
        "membership": membership.pk, "va": engineering.pk, "tag": tag.pk, "record": record.pk, "line": line.pk,
        "transfer": transfer.pk, "family": family.pk, "license": license.pk, "code": code.pk,
        "server": server.uuid, "exchange": exchange.pk, "local": local.pk,
        "upload": upload.pk, "report": report.pk,
    }  # fmt: skip


def address_of(route: str, world: dict[str, Any]) -> str:
    pk = {
        "users/": "membership", "virtual-accounts/": "va", "access-requests/": "request", "api-clients/": "client",
        "alerts/": "alert", "addresses/": "address", "operator/requests/": "wanted",
        "operator/lines/": "line", "operator/families/": "family", "operator/licenses/": "license",
    }  # fmt: skip
    key = next((name for part, name in pk.items() if part + "<int:pk>" in route), "")
    values = {
        "<str:domain>": "acme.example",
        "<str:va>": "Engineering",
        "<path:tag>": "tag",
        "<int:token>": world["token"],
        "<int:pool>": world["pool"],
        "<int:tag>": world["tag"],
        "<int:record>": world["transfer"],
        "<uuid:piid>": world["piid"],
        "<int:code>": world["code"],
        "<uuid:uuid>": world["server"],
        "<int:exchange>": world["exchange"],
        "<int:local>": world["local"],
        "<slug:key>": "sub_ca_cert",
        "<int:upload>": world["upload"],
        "<int:report>": world["report"],
        "<int:alert_id>": world["alert"],
        "<int:request_id>": world["wanted"] if "operator" in route else world["request"],
        "<int:pk>": world.get(key, ""),
    }
    for placeholder, value in values.items():
        route = route.replace(placeholder, str(value))
    return f"/{route}"


def expected(persona: str, where: str, permission: Permission | Access) -> str:
    """ "in", "forbidden" (403) or "unknown" (404)."""
    if permission is Access.SIGNED_IN:
        return "unknown" if persona == STRANGER and where == ACCOUNT else "in"
    assert isinstance(permission, Permission)
    if persona == OPERATOR:
        return "in" if permission in OPERATOR_PERMISSIONS else "forbidden"
    if where == "installation":
        return "forbidden"
    if persona == STRANGER:
        return "unknown"
    if persona == NEIGHBOUR:
        if where == ACCOUNT:
            return "in" if permission in ROLE_PERMISSIONS[Role.VA_ADMIN] else "forbidden"
        return "out"
    return "in" if permission in ROLE_PERMISSIONS[Role(persona)] else "forbidden"


def visit(route: str, world: dict[str, Any], *, browser: Client, bearer: str) -> int:
    address = address_of(route, world)
    if not route.startswith(API):
        return browser.get(address).status_code
    headers = {
        "Authorization": f"Bearer {bearer}",
        "X-CSW-SMART-ACCOUNT-ID": str(world["acme"].pk),
        "X-CSW-VIRTUAL-ACCOUNT-ID": str(world["engineering"].pk),
    }
    answer = Client().get(address, headers=headers)
    if answer.status_code == 405:
        answer = Client().post(address, b"{}", content_type="application/json", headers=headers)
    return answer.status_code


def placed(persona: str, world: dict[str, Any]) -> tuple[Role, VirtualAccount | None]:
    role = Role.VA_ADMIN if persona == NEIGHBOUR else Role(persona)
    place = world["neighbouring"] if persona == NEIGHBOUR else world["engineering"]
    return role, place if role.is_virtual_account_role else None


def person(persona: str, world: dict[str, Any]) -> User:
    if persona == OPERATOR:
        return world["olivia"]
    if persona == STRANGER:
        return User.objects.get(email="mallory@umbrella.example")
    user = User.objects.create_user(f"{persona.lower().replace(' ', '-')}@acme.example", None, date_joined=NOW)
    role, place = placed(persona, world)
    Membership.objects.create(user=user, smart_account=world["acme"], virtual_account=place, role=role, created_at=NOW)
    return user


def program(persona: str, world: dict[str, Any]) -> str:
    if persona == OPERATOR:
        made = create_operator_client(actor=SYSTEM, name=persona, now=NOW)
    elif persona == STRANGER:
        account = SmartAccount.objects.get(domain="umbrella.example")
        made = create_api_client(actor=SYSTEM, smart_account=account, role=Role.SA_ADMIN, name=persona, now=NOW)
    else:
        role, place = placed(persona, world)
        made = create_api_client(
            actor=SYSTEM, smart_account=world["acme"], role=role, virtual_account=place, name=persona, now=NOW
        )
    return obtain_token(made[0].client_id, made[1])


@pytest.mark.parametrize("persona", PERSONAS)
def test_who_gets_in_is_what_the_table_says(persona: str, world: dict[str, Any]):
    browser, bearer = Client(raise_request_exception=False), program(persona, world)
    browser.force_login(person(persona, world), backend="django.contrib.auth.backends.ModelBackend")
    wrong = {}
    for route, (where, permission) in ROUTES.items():
        status = visit(route, world, browser=browser, bearer=bearer)
        verdict = {401: "nobody", 403: "forbidden", 404: "unknown"}.get(status, "in" if status < 500 else "broken")
        wanted = expected(persona, where, permission)
        if verdict != wanted and not (wanted == "out" and verdict in ("forbidden", "unknown")):
            wrong[route] = f"{status}, wanted {wanted}"
    assert wrong == {}


def test_nobody_gets_in_without_signing_in(world: dict[str, Any]):
    let_in = {}
    for route in ROUTES:
        answer = Client().get(address_of(route, world))
        refused = answer.status_code == 401 if route.startswith(API) else answer.status_code == 302
        if not refused or (answer.status_code == 302 and not answer["Location"].startswith("/login/")):
            let_in[route] = answer.status_code
    assert let_in == {}


def test_the_actor_of_a_user_and_of_a_client_hold_the_same(world: dict[str, Any], actor_of: Callable[[User], Actor]):
    client, _ = create_api_client(actor=SYSTEM, smart_account=world["acme"], role=Role.SA_USER, name="y", now=NOW)
    user = User.objects.create_user("y@acme.example", None, date_joined=NOW)
    Membership.objects.create(user=user, smart_account=world["acme"], role=Role.SA_USER, created_at=NOW)
    assert actor_for_user(user).grants == actor_for_client(client).grants
