"""The one table: sorted, filtered, paged, with a choice of columns, exported as CSV or XLSX.

    class TokenTable(Table):
        key = "tokens"                # names the element, and what the choice of columns is remembered under
        caption = "ID tokens"
        hidden = ("created_by",)      # offered in the column chooser, not shown at first
        fixed = ("description",)      # cannot be hidden
        empty_title = "No tokens yet"

        description = Column(linkify=...)
        status = BadgeColumn(accessor="state")
        created_by = Column()

        class Meta:
            order_by = "-created_at"

How a view shows one is told in `table_views`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, ClassVar, Final, NamedTuple

import django_tables2 as tables
from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from cssm.common.templatetags.portal import badge, badge_of, number, when

Column = tables.Column
PAGE_SIZES: Final = (25, 50, 100, 250)
DEFAULT_PAGE_SIZE: Final = 50
# Past this row the page's keys are looked up first, so that only they are read from the table and its annotations.
DEEP_ROW: Final = 1000
# The name under which the chosen rows are sent to what is to be done with them.
SELECTED: Final = "selected"


class BulkAction(NamedTuple):
    """What can be done with the rows that a person chose: a button that posts them to `url` (a `SelectionAction`)."""

    label: str
    url: str
    icon: str = ""


class BadgeColumn(tables.Column):
    """A state as a coloured label; the value is a `Badge` or has a `badge`."""

    def render(self, value: Any) -> SafeString:
        return badge(value)

    def value(self, value: Any) -> str:
        return gettext(badge_of(value).label)


class NumberColumn(tables.Column):
    """A quantity, to the right, with separated thousands."""

    attrs = {"th": {"class": "num"}, "td": {"class": "num"}}
    empty_values = (None,)

    def render(self, value: Any) -> str:
        return number(value)

    def value(self, value: Any) -> Any:
        return value


class WhenColumn(tables.Column):
    """A moment or a day: relative where near, exact in UTC on pointing."""

    def render(self, value: date | datetime) -> SafeString:
        return when(value)

    def value(self, value: date | datetime) -> date | datetime:
        return value


class CodeColumn(tables.Column):
    """An identifier, in fixed-width letters that may break anywhere."""

    def render(self, value: Any) -> SafeString:
        return format_html('<code class="id">{}</code>', value)

    def value(self, value: Any) -> str:
        return str(value)


class SelectColumn(tables.Column):
    """The checkbox that chooses a row. Put in by `Table` where there are bulk actions, never by a subclass."""

    def __init__(self, **kwargs: Any) -> None:
        cells = {"td": {"class": "select"}, "th": {"class": "select"}}
        super().__init__(verbose_name="Select", orderable=False, exclude_from_export=True, attrs=cells, **kwargs)

    def render(self, value: Any, record: Any, table: Any) -> SafeString:
        return format_html(
            '<input type="checkbox" name="{}" value="{}" form="{}" aria-label="Select {}">',
            SELECTED,
            value,
            table.selection_id,
            table.get_row_label(record),
        )


class ActionsColumn(tables.TemplateColumn):
    """What can be done with a row; not sorted, not hidden, not exported. The template sees `record` and `table`."""

    def __init__(self, template_name: str, **kwargs: Any) -> None:
        super().__init__(
            template_name=template_name,
            verbose_name=kwargs.pop("verbose_name", "Actions"),
            orderable=False,
            exclude_from_export=True,
            empty_values=(),
            attrs={"td": {"class": "actions"}, "th": {"class": "actions"}},
            **kwargs,
        )

    def get_context_data(self, *, table: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(table=table, **kwargs), "table": table}


class TablePaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Takes a total known from a counter, and keeps deep pages cheap."""

    def __init__(self, object_list: Any, per_page: int, *, total: int | None = None, **kwargs: Any) -> None:
        super().__init__(object_list, per_page, **kwargs)
        self._total = total

    @cached_property
    def count(self) -> int:
        return self._total if self._total is not None else len(self.object_list)

    def page(self, number: int | str) -> Any:
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        rows: Any = self.object_list
        data = rows.data
        if bottom >= DEEP_ROW and isinstance(data.data, QuerySet) and data.data.query.group_by is None:
            keys = list(data.data.values_list("pk", flat=True)[bottom : bottom + self.per_page])
            data.data = data.data.filter(pk__in=keys)
            return Page(rows, number, self)
        return super().page(number)


class Table(tables.Table):
    """Base of all tables. `total` is the number of rows that match the filters.

    With `bulk_actions` its rows can be chosen; what is sent of a row is its `row_key`.
    """

    key: ClassVar[str] = ""
    caption: ClassVar[str] = ""
    hidden: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[tuple[str, ...]] = ()
    empty_title: ClassVar[str] = "Nothing here yet"
    empty_hint: ClassVar[str] = ""
    row_key: ClassVar[str] = "pk"

    def __init__(self, data: Any, *, bulk_actions: Sequence[BulkAction] = (), **kwargs: Any) -> None:
        if bulk_actions:
            kwargs["extra_columns"] = [("select", SelectColumn(accessor=self.row_key))]
            kwargs["sequence"] = ("select", "...")
        super().__init__(data, **kwargs)
        self.bulk_actions = bulk_actions
        self.total: int | None = None
        self.hide(self.hidden)

    @property
    def element_id(self) -> str:
        return f"table-{self.prefix}{self.key}"

    @property
    def selection_id(self) -> str:
        """The form that the checkboxes of the rows belong to."""
        return f"{self.element_id}-selection"

    def get_row_label(self, record: Any) -> str:
        """What a screen reader calls the row that its checkbox chooses."""
        return str(record)

    @property
    def optional_columns(self) -> list[Any]:
        """Bound columns that a person may show or hide, in their order."""
        return [
            column
            for column in self.columns.iterall()
            if column.name not in self.fixed and not isinstance(column.column, ActionsColumn | SelectColumn)
        ]

    @property
    def export_columns(self) -> list[Any]:
        """The columns on show, without those that hold only actions."""
        return [column for column in self.columns if not column.column.exclude_from_export]

    def hide(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.columns.columns:
                self.columns.hide(name)

    def show_only(self, names: Iterable[str]) -> None:
        """Show these optional columns and no others; unknown names are ignored."""
        wanted = set(names)
        for column in self.optional_columns:
            (self.columns.show if column.name in wanted else self.columns.hide)(column.name)

    def sort(self, order: str) -> None:
        """Sort as asked for (`-name` descends), always with the key last so that pages neither repeat nor miss rows."""
        if order:
            self.order_by = order
        data = self.data.data
        if isinstance(data, QuerySet) and data.query.group_by in (None, True):
            self.data.data = data.order_by(*(data.query.order_by or data.model._meta.ordering), "pk")

    def turn_to(self, *, page: str, per_page: str, total: int | None = None) -> None:
        """Cut out a page; one that does not exist becomes the nearest that does."""
        size = int(per_page) if per_page.isdecimal() and len(per_page) < 4 else 0
        size = size if size in PAGE_SIZES else DEFAULT_PAGE_SIZE
        arguments: dict[str, Any] = {"paginator_class": TablePaginator, "per_page": size, "total": total}
        try:
            self.paginate(page=page or 1, **arguments)
        except PageNotAnInteger:
            self.paginate(page=1, **arguments)
        except EmptyPage:
            self.paginate(page=self.paginator.num_pages if page.isdecimal() else 1, **arguments)
        self.total = self.paginator.count
