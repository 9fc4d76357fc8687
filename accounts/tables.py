"""Tables of the accounts pages, and what every table of tagged things has."""

from typing import Any
from urllib.parse import quote

from django.db.models import Q, QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import AccessRequest, AccountTag, ApiClient, Membership, VirtualAccount
from accounts.states import RequestKind, RequestStatus
from cssm.common.permissions import Role
from cssm.common.table_views import ChoiceFilter, TableFilter
from cssm.common.tables import ActionsColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from cssm.common.templatetags.portal import badge, icon
from cssm.common.text import Badge, Tone, mark


def tag_names(record: Any) -> list[str]:
    """The words on a row, whose `tags` should be prefetched, in the order of the alphabet."""
    return sorted((tag.name for tag in record.tags.all()), key=str.casefold)


class TagsColumn(Column):
    """Account tags as small marks that filter the table, and a way to change them.

    The table says by `get_tags_url(record)` where; it is empty for whoever may not. Prefetch `tags`.
    """

    def __init__(self, **kwargs: Any) -> None:
        cells = {"td": {"class": "tags"}}
        # A cell is made of the record; the manager of the tags, which can be called, is no value of it.
        super().__init__("Tags", accessor="pk", orderable=False, empty_values=(), attrs=cells, **kwargs)

    def render(self, record: Any, table: Any) -> SafeString:
        names = ((quote(name, safe=""), name) for name in tag_names(record))
        marks = format_html_join("", '<a class="tag" href="?tagged={}">{}</a>', names)
        url = table.get_tags_url(record)
        label = f"Change the tags of {table.get_row_label(record)}"
        change = '<a class="icon-button" href="{}" data-dialog aria-label="{}">{}</a>'
        return marks + format_html(change, url, label, icon("edit")) if url else marks

    def value(self, record: Any) -> str:
        return ", ".join(tag_names(record))


class TaggedFilter(TableFilter):
    """Adds a choice among the account's tags, which the search box finds, too; below `/accounts/<domain>/` only."""

    tagged = ChoiceFilter(label="Tag", method="with_tag", empty_label="All")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domain = self.request.resolver_match.kwargs["domain"].lower()
        known = AccountTag.objects.visible_to(self.request.actor).filter(smart_account__domain=domain)
        self.words = sorted(known.values_list("pk", "name"), key=lambda word: word[1].casefold())
        self.filters["tagged"].extra["choices"] = [(name, name) for _, name in self.words]
        if not self.words:
            del self.filters["tagged"]

    def match(self, word: str) -> Q:
        found = [pk for pk, name in self.words if word.casefold() in name.casefold()]
        return super().match(word) | Q(pk__in=self._having(found)) if found else super().match(word)

    def with_tag(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(pk__in=self._having([pk for pk, word in self.words if word == value]))

    def _having(self, tags: list[int]) -> QuerySet[Any, Any]:
        """Keys of rows that have one of these tags: a subquery, for a join would repeat rows and spoil counts."""
        field = self.queryset.model._meta.get_field("tags")
        through = field.remote_field.through.objects.filter(accounttag__in=tags)
        rows: QuerySet[Any, Any] = through.values(f"{field.m2m_field_name()}_id")
        return rows


class MemberTable(Table):
    key = "users"
    caption = "Users and their roles"
    fixed = ("email",)
    empty_title = "No users"

    email = Column("E-mail address", accessor="user__email")
    name = Column("Name", accessor="user__name")
    role = Column("Role")
    virtual_account = Column("Virtual Account", accessor="virtual_account__name", default="all")
    created_at = WhenColumn("Since")
    actions = ActionsColumn("accounts/_member_actions.html")

    class Meta:
        order_by = "email"

    def render_role(self, record: Membership) -> str:
        return Role(record.role).label

    def value_role(self, record: Membership) -> str:
        return record.role


class VirtualAccountTable(Table):
    key = "virtual-accounts"
    caption = "Virtual Accounts"
    fixed = ("name",)

    name = Column("Name")
    description = Column("Description", orderable=False)
    access_level = Column("Access")
    members = NumberColumn("Users", accessor="member_count")
    created_at = WhenColumn("Created")
    actions = ActionsColumn("accounts/_virtual_account_actions.html")

    class Meta:
        order_by = ("-is_default", "name")

    def render_name(self, record: VirtualAccount) -> str:
        return f"{record.name} (default)" if record.is_default else record.name

    def value_name(self, record: VirtualAccount) -> str:
        return record.name

    def render_access_level(self, value: str) -> str:
        return value.capitalize()


class ApiClientTable(Table):
    key = "api-clients"
    caption = "API clients"
    fixed = ("name",)
    hidden = ("created_by",)
    empty_title = "No API clients"
    empty_hint = "A program that uses the API signs in as a client: with an id and a secret, and a role of its own."

    name = Column("Name")
    client_id = CodeColumn("Client id")
    role = Column("Role")
    virtual_account = Column("Virtual Account", accessor="virtual_account__name", default="all")
    created_at = WhenColumn("Created")
    created_by = Column("Created by", accessor="created_by__email")
    last_used_at = WhenColumn("Last used", default="never")
    state = Column("State", accessor="revoked_at", empty_values=(), order_by="revoked_at")
    actions = ActionsColumn("accounts/_api_client_actions.html")

    class Meta:
        order_by = "-created_at"

    def render_state(self, record: ApiClient) -> SafeString:
        return badge(_client_badge(record))

    def value_state(self, record: ApiClient) -> str:
        return _client_badge(record).label

    def render_role(self, record: ApiClient) -> str:
        return Role(record.role).label


class RequestTable(Table):
    key = "access-requests"
    caption = "Access requests"
    fixed = ("requester",)
    empty_title = "Nobody asked for access"
    empty_hint = "People who ask for access to this Smart Account are listed here until you decide."

    requester = Column("Requested by", accessor="requester__email")
    name = Column("Name", accessor="requester__name")
    note = Column("Note", orderable=False)
    created_at = WhenColumn("Requested")
    status = Column("Status")
    reason = Column("Reason", orderable=False)
    decided_by = Column("Decided by", accessor="decided_by__email")
    actions = ActionsColumn("accounts/_request_actions.html")

    class Meta:
        order_by = ("-status", "-created_at")

    def render_status(self, record: AccessRequest) -> SafeString:
        return badge(RequestStatus(record.status))

    def value_status(self, record: AccessRequest) -> str:
        return RequestStatus(record.status).badge.label


class OwnRequestTable(Table):
    key = "my-requests"
    caption = "Your requests"
    fixed = ("domain",)
    empty_title = "You have asked for nothing yet"
    empty_hint = "Ask for access to your company's Smart Account, or for a new one."

    domain = Column("Domain")
    kind = Column("Request")
    created_at = WhenColumn("Requested")
    status = Column("Status")
    decided_at = WhenColumn("Decided")
    reason = Column("Reason", orderable=False)

    class Meta:
        order_by = "-created_at"

    def render_status(self, record: AccessRequest) -> SafeString:
        return badge(RequestStatus(record.status))

    def value_status(self, record: AccessRequest) -> str:
        return RequestStatus(record.status).badge.label

    def render_kind(self, record: AccessRequest) -> str:
        return RequestKind(record.kind).label


def _client_badge(client: ApiClient) -> Badge:
    return Badge(mark("Active"), Tone.OK) if client.revoked_at is None else Badge(mark("Revoked"), Tone.MUTED)
