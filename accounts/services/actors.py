"""Turning whoever signed in into an `Actor`, with all grants in one query."""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import ApiClient, Membership, SmartAccount, User
from accounts.states import AccountStatus
from cssm.common.actor import NOBODY, Actor, ActorKind, Grant
from cssm.common.permissions import Role
from cssm.common.text import mark


@dataclass(frozen=True, slots=True)
class AccountChoice:
    """One line of the account switcher."""

    domain: str
    name: str
    roles: tuple[str, ...]


def actor_for_user(user: User) -> Actor:
    """The person with every role held on an active account; an inactive user is nobody."""
    if not user.is_active:
        return NOBODY
    rows = Membership.objects.filter(
        user=user, smart_account__status=AccountStatus.ACTIVE, virtual_account__deleted_at__isnull=True
    )
    return Actor(
        kind=ActorKind.USER,
        id=str(user.pk),
        label=user.label,
        grants=tuple(
            Grant(role=Role(role), smart_account_id=smart_account, virtual_account_id=virtual_account)
            for role, smart_account, virtual_account in rows.order_by("pk").values_list(
                "role", "smart_account_id", "virtual_account_id"
            )
        ),
        is_operator=user.is_staff,
    )


def actor_for_client(client: ApiClient) -> Actor:
    """The program behind an API client; a revoked one is nobody."""
    if client.revoked_at is not None:
        return NOBODY
    grants: tuple[Grant, ...] = ()
    if client.smart_account_id is not None:
        grants = (
            Grant(
                role=Role(client.role),
                smart_account_id=client.smart_account_id,
                virtual_account_id=client.virtual_account_id,
            ),
        )
    return Actor(
        kind=ActorKind.API_CLIENT,
        id=str(client.pk),
        label=f"API client {client.name or client.client_id}",
        grants=grants,
        is_operator=client.is_operator,
    )


def name_people(ids: Iterable[str]) -> dict[str, str]:
    """What records keep of people, their ids, as names to show; "[erased]" for those who are no longer known."""
    wanted = set(ids)
    known = User.objects.filter(pk__in=[int(id) for id in wanted if id.isdecimal()])
    return {**dict.fromkeys(wanted, mark("[erased]")), **{str(user.pk): user.label for user in known}}


def accounts_of(actor: Actor) -> list[AccountChoice]:
    """The Smart Accounts the actor may switch to, by name."""
    roles: dict[int, list[str]] = {}
    for grant in actor.grants:
        labels = roles.setdefault(grant.smart_account_id, [])
        if grant.role.label not in labels:
            labels.append(grant.role.label)
    return [
        AccountChoice(domain=domain, name=name, roles=tuple(roles.get(key, ())))
        for key, domain, name in SmartAccount.objects.visible_to(actor)
        .order_by("name", "domain")
        .values_list("pk", "domain", "name")
    ]
