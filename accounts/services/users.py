"""Users that others bring in: administrators named by the operator, members added by e-mail address."""

from datetime import datetime

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import User
from accounts.services.events import record_event
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, Forbidden, Invalid
from cssm.common.permissions import Permission


def clean_email(email: str) -> str:
    """The address in the form it is stored. Raises `Invalid`."""
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise Invalid("This is not an e-mail address.", where="email") from error
    if len(address) > 254:
        raise Invalid("An e-mail address has at most 254 characters.", where="email")
    return address


def create_user(
    *, actor: Actor, email: str, name: str = "", password: str | None = None, operator: bool = False, now: datetime
) -> User:
    """A user whose address counts as confirmed, made by the operator. Raises `Conflict` where the address is taken."""
    actor.require(Permission.OPERATE)
    address = clean_email(email)
    with transaction.atomic():
        if User.objects.filter(email=address).exists():
            raise Conflict(f"There is already a user {address}.", where="email")
        user = User.objects.create_user(address, password, name=name, is_staff=operator, date_joined=now)
        EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
        record_event(
            actor=actor,
            name="user.created",
            smart_account=None,
            subject_type="user",
            subject_id=user.pk,
            data={"operator": operator},
            personal={"user": address},
            now=now,
        )
    return user


def find_or_create_user(*, email: str, name: str = "", now: datetime) -> User:
    """The user with that address; a new one gets in by "Forgot your password?", which confirms the address.

    Call it in the transaction of the change that needs the user.
    """
    address = clean_email(email)
    user = User.objects.filter(email=address).first()
    return user or User.objects.create_user(address, name=name.strip()[:150], date_joined=now)


def change_profile(*, actor: Actor, name: str, time_zone: str, now: datetime) -> User:
    """What people say about themselves. Raises `Forbidden` unless the actor is a person."""
    if actor.kind is not ActorKind.USER or not actor.id:
        raise Forbidden("Only a person has a profile.")
    name = " ".join(name.split())
    if len(name) > 150 or not name.isprintable():
        raise Invalid("A name has at most 150 printable characters.", where="name")
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=int(actor.id))
        before = {"name": user.name, "time_zone": user.time_zone}
        user.name, user.time_zone = name, time_zone
        after = {"name": name, "time_zone": time_zone}
        changed = [key for key in after if before[key] != after[key]]
        if changed:
            user.save(update_fields=changed)
            record_event(
                actor=actor,
                name="user.profile_changed",
                smart_account=None,
                subject_type="user",
                subject_id=user.pk,
                data={"what": " and ".join(changed).replace("_", " ")},
                personal={"before": str(before["name"]), "after": name},
                now=now,
            )
    return user
