"""The history of one server: every file that was exchanged with it."""

from typing import Any
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.models import User
from cssm.common.actor import ActorKind
from cssm.common.tables import ActionsColumn, BadgeColumn, CodeColumn, Column, NumberColumn, Table, WhenColumn
from sync.models import Exchange
from sync.states import ExchangeKind, ExchangeState


class ExchangeTable(Table):
    """What each file changed is told by its difference."""

    key = "onprem-exchanges"
    caption = "Files exchanged with this server"
    fixed = ("created_at",)
    hidden = ("problems", "finished_at", "moved", "unlinked", "size", "digest", "generated_at")
    empty_title = "No files were exchanged yet"

    created_at = WhenColumn(verbose_name="When")
    kind = Column(verbose_name="File")
    state = BadgeColumn(verbose_name="Result")
    created_by = Column(accessor="created_by_id", order_by=("created_by_kind", "created_by_label"), verbose_name="By")
    added = NumberColumn(verbose_name="Added", empty_values=(), orderable=False)
    removed = NumberColumn(verbose_name="Removed", empty_values=(), orderable=False)
    changed = NumberColumn(verbose_name="Changed", empty_values=(), orderable=False)
    moved = NumberColumn(verbose_name="Moved", empty_values=(), orderable=False)
    marked = NumberColumn(verbose_name="Not counted", empty_values=(), orderable=False)
    unlinked = NumberColumn(verbose_name="Accounts not linked", empty_values=(), orderable=False)
    problems = NumberColumn(accessor="errors", verbose_name="Problems", empty_values=(), orderable=False)
    generated_at = WhenColumn(verbose_name="Written by the server")
    finished_at = WhenColumn(verbose_name="Finished")
    size = NumberColumn(verbose_name="Bytes")
    digest = CodeColumn(verbose_name="SHA-256")
    actions = ActionsColumn("sync/servers/_exchange_actions.html")

    class Meta:
        order_by = "-created_at"

    def __init__(self, data: Any, *, domain: str, uuid: UUID, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.domain, self.uuid = domain, uuid
        self._people: dict[str, str] = {}

    def render_kind(self, record: Exchange) -> str:
        kind = gettext(ExchangeKind(record.kind).label)
        if record.kind == ExchangeKind.REGISTRATION or record.is_full is None:
            return kind
        return f"{kind}, {gettext('full') if record.is_full else gettext('incremental')}"

    def render_state(self, record: Exchange, column: BadgeColumn) -> SafeString:
        return column.render(ExchangeState(record.state))

    def value_state(self, record: Exchange) -> str:
        return gettext(ExchangeState(record.state).label)

    def render_created_by(self, record: Exchange) -> str:
        if record.created_by_kind != ActorKind.USER:
            return record.created_by_label
        return self._name_of(record.created_by_id)

    def render_added(self, record: Exchange) -> str:
        return _shown(record, "added", "returned")

    def render_removed(self, record: Exchange) -> str:
        return _shown(record, "removed")

    def render_changed(self, record: Exchange) -> str:
        return _shown(record, "changed")

    def render_moved(self, record: Exchange) -> str:
        return _shown(record, "moved")

    def render_marked(self, record: Exchange) -> str:
        return "–" if not record.difference else str(record.difference.get("markedCount", 0))

    def render_unlinked(self, record: Exchange) -> str:
        return "–" if not record.difference else str(len(record.difference["virtualAccounts"]["unlinked"]))

    def render_problems(self, record: Exchange) -> str:
        return str(len(record.errors)) if record.errors else "–"

    def _name_of(self, user_id: str) -> str:
        """Asked for once for all people of the rows on show."""
        if user_id not in self._people:
            rows = self.paginated_rows.data if self.total is not None else self.data
            ids = {user_id, *(row.created_by_id for row in rows if row.created_by_kind == ActorKind.USER)}
            known = User.objects.filter(pk__in=[key for key in ids if key.isdecimal()])
            self._people = dict.fromkeys(ids, gettext("a person who is no longer known"))
            self._people |= {str(key): email for key, email in known.values_list("pk", "email")}
        return self._people[user_id]


def _shown(record: Exchange, *names: str) -> str:
    """From the difference kept with the exchange; a dash where nothing was compared."""
    instances = record.difference.get("instances") if record.difference else None
    return "–" if instances is None else f"{sum(int(instances.get(name, 0)) for name in names):,}"
