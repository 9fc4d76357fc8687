"""The words of the accounts app: kinds and states, and the vocabulary of the event log. Pure: no Django."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from cssm.common.text import Badge, Tone, mark


class AccountType(StrEnum):
    CUSTOMER = "CUSTOMER"
    PARTNER = "PARTNER"


class AccountStatus(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class ExportStatus(StrEnum):
    """WP "U.S. Export Control": a restricted account gets no export-restricted license."""

    ALLOWED = "allowed"
    RESTRICTED = "restricted"


class AccessLevel(StrEnum):
    """A private Virtual Account is found only by its exact name."""

    PUBLIC = "PUBLIC"
    PRIVATE = "PRIVATE"


class RequestKind(StrEnum):
    NEW_ACCOUNT = "new_account"
    EXISTING_ACCOUNT = "existing_account"

    @property
    def label(self) -> str:
        return mark("New Smart Account") if self is RequestKind.NEW_ACCOUNT else mark("Access to a Smart Account")


class RequestStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"

    @property
    def badge(self) -> Badge:
        return {
            RequestStatus.PENDING: Badge(mark("Waiting for approval"), Tone.INFO),
            RequestStatus.APPROVED: Badge(mark("Approved"), Tone.OK),
            RequestStatus.DECLINED: Badge(mark("Declined"), Tone.MUTED),
        }[self]


# What an event is called and how it reads. Each app adds its own names in AppConfig.ready(); a name that nobody
# registered cannot be recorded.
EVENT_TEMPLATES: Final[dict[str, str]] = {}

ACCOUNT_EVENTS: Final[dict[str, str]] = {
    "account.created": mark("The Smart Account {domain} was created with {administrator} as its administrator."),
    "account.renamed": mark('The Smart Account was renamed from "{before}" to "{after}".'),
    "account.flags_changed": mark("The operator changed the account's settings: {changes}."),
    "account.agreement_accepted": mark("The agreement was accepted."),
    "virtual_account.created": mark('The Virtual Account "{name}" was created.'),
    "virtual_account.changed": mark('The Virtual Account "{name}" was changed: {changes}.'),
    "virtual_account.deleted": mark('The Virtual Account "{name}" was deleted.'),
    "virtual_account.tags_changed": mark('The tags of the Virtual Account "{name}" were changed: {changes}.'),
    "tag.created": mark('The tag "{name}" was created.'),
    "tag.renamed": mark('The tag "{before}" was renamed to "{after}".'),
    "tag.deleted": mark('The tag "{name}" was deleted, and taken off {uses} places.'),
    "member.added": mark("{user} was given the role {role}."),
    "member.role_changed": mark("The role of {user} was changed from {before} to {after}."),
    "member.removed": mark("{user} lost the role {role}."),
    "access_request.created": mark("{requester} asked for {what}."),
    "access_request.approved": mark("The request of {requester} for {what} was approved."),
    "access_request.declined": mark("The request of {requester} for {what} was declined: {reason}"),
    "user.created": mark("The user {user} was created."),
    "user.profile_changed": mark("The {what} of a user's profile changed."),
    "user.personal_values_erased": mark("Personal values were erased from {count} events."),
    "api_client.created": mark('The API client "{name}" was created with the role {role}.'),
    "api_client.revoked": mark('The API client "{name}" was revoked.'),
}

ERASED: Final = "[erased]"


def register_events(templates: Mapping[str, str]) -> None:
    """Add dotted names and their message templates; a name means one thing only."""
    for name, template in templates.items():
        if EVENT_TEMPLATES.setdefault(name, template) != template:
            raise ValueError(f"The event name {name} is already taken.")


class _Values(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return ERASED


def render_event(name: str, values: Mapping[str, Any]) -> str:
    """The sentence an event reads as. What was erased, or is of an older release, does not break it."""
    template = EVENT_TEMPLATES.get(name)
    return name if template is None else template.format_map(_Values(values))


register_events(ACCOUNT_EVENTS)
