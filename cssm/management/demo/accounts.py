"""The demo's people, accounts, API clients and ID tokens, made through the services; what is there already stays."""

from datetime import datetime
from typing import Any

from accounts.models import ApiClient, Membership, SmartAccount, User, VirtualAccount
from accounts.services.api_clients import create_api_client, create_operator_client
from accounts.services.members import add_member
from accounts.services.smart_accounts import create_smart_account
from accounts.services.users import create_user
from accounts.services.virtual_accounts import create_virtual_account
from cssm.common.actor import SYSTEM
from cssm.management.demo.content import ACCOUNTS, CLIENTS, PEOPLE, TOKENS, VIRTUAL_ACCOUNTS, Client, Person
from cssm.management.demo.secrets_file import DemoSecrets
from licensing.models import IdToken
from licensing.services.devices.tokens import create_token
from licensing.states import TokenState

TOKEN_DAYS = 365


def virtual_account(domain: str, name: str) -> VirtualAccount:
    return VirtualAccount.objects.live().get(smart_account__domain=domain, name=name)


def seed_people(secrets: DemoSecrets, now: datetime) -> list[dict[str, Any]]:
    for person in PEOPLE:
        if not User.objects.filter(email=person.email).exists():
            password = secrets.password(person.email)
            create_user(
                actor=SYSTEM, email=person.email, name=person.name, password=password, operator=person.operator, now=now
            )
    return [
        {"email": person.email, "password": secrets.password(person.email), "roles": _roles(person)}
        for person in PEOPLE
    ]


def _roles(person: Person) -> list[str]:
    if person.operator:
        return ["OPERATOR"]
    return [f"{role} of {domain}{f' / {va}' if va else ''}" for role, domain, va in person.roles]


def seed_accounts(now: datetime) -> None:
    for domain, name, administrator in ACCOUNTS:
        if not SmartAccount.objects.filter(domain=domain).exists():
            create_smart_account(actor=SYSTEM, domain=domain, name=name, admin_email=administrator, now=now)
    for domain, name, description in VIRTUAL_ACCOUNTS:
        account = SmartAccount.objects.get(domain=domain)
        if not VirtualAccount.objects.live().filter(smart_account=account, name=name).exists():
            create_virtual_account(actor=SYSTEM, smart_account=account, name=name, description=description, now=now)
    for person in PEOPLE:
        for role, domain, va in person.roles:
            account = SmartAccount.objects.get(domain=domain)
            place = virtual_account(domain, va) if va else None
            held = Membership.objects.filter(
                user__email=person.email, smart_account=account, virtual_account=place, role=role
            )
            if not held.exists():
                add_member(
                    actor=SYSTEM, smart_account=account, email=person.email, role=role, virtual_account=place, now=now
                )


def seed_clients(secrets: DemoSecrets, now: datetime) -> list[dict[str, Any]]:
    return [_client(client, secrets, now) for client in CLIENTS]


def _client(wanted: Client, secrets: DemoSecrets, now: datetime) -> dict[str, Any]:
    name = f"{wanted.domain or 'operator'}/{wanted.role or ''}/{wanted.virtual_account or ''}"
    known = secrets.recall("clients", name)
    if not known or not ApiClient.objects.filter(client_id=known["client_id"], revoked_at=None).exists():
        client, secret = _make_client(wanted, now)
        known = {"client_id": client.client_id, "client_secret": secret}
        secrets.remember("clients", name, known)
    role = wanted.role.value if wanted.role else "OPERATOR"
    return {**known, "role": role, "domain": wanted.domain, "operator": wanted.domain is None}


def _make_client(wanted: Client, now: datetime) -> tuple[ApiClient, str]:
    if wanted.domain is None or wanted.role is None:
        return create_operator_client(actor=SYSTEM, name="Demo operator", now=now)
    place = virtual_account(wanted.domain, wanted.virtual_account) if wanted.virtual_account else None
    return create_api_client(
        actor=SYSTEM,
        smart_account=SmartAccount.objects.get(domain=wanted.domain),
        role=wanted.role,
        virtual_account=place,
        name=f"Demo {wanted.role.label}",
        now=now,
    )


def seed_tokens(secrets: DemoSecrets, now: datetime) -> list[dict[str, Any]]:
    return [{"token": _token(d, va, secrets, now), "domain": d, "virtual_account": va} for d, va in TOKENS]


def _token(domain: str, va: str, secrets: DemoSecrets, now: datetime) -> str:
    name = f"{domain}/{va}"
    known = secrets.recall("tokens", name)
    if known:
        row = IdToken.objects.filter(pk=known["id"], virtual_account=virtual_account(domain, va)).first()
        if row is not None and row.digest == known["digest"] and row.state_at(now) is TokenState.ACTIVE:
            return str(known["token"])
    token, value = create_token(
        actor=SYSTEM,
        virtual_account=virtual_account(domain, va),
        description="Demo devices",
        lifetime_days=TOKEN_DAYS,
        max_uses=None,
        export_controlled_allowed=True,
        now=now,
    )
    secrets.remember("tokens", name, {"id": token.pk, "digest": token.digest, "token": value})
    return value
