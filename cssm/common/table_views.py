"""Pages that show a table, and the filters above it.

class TokenFilter(TableFilter):
    search_fields = ("description", "created_by__email")
    status = ChoiceFilter(choices=[("active", "Active"), …])

class TokenList(VirtualAccountView, TableView):
    permission = Permission.VIEW
    table_class = TokenTable
    filter_class = TokenFilter
    template_name = "licensing/tokens.html"     # {% include "components/table.html" %}

    def get_queryset(self) -> QuerySet[IdToken]:
        return IdToken.objects.visible_to(self.actor).in_virtual_account(self.virtual_account)
"""

from collections.abc import Sequence
from functools import reduce
from http import HTTPStatus
from operator import or_
from typing import Any, ClassVar, Final

import django_filters as filters
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase

from cssm.common.errors import Invalid
from cssm.common.exports import EXPORTS
from cssm.common.tables import PAGE_SIZES, BulkAction, Table
from cssm.common.views import PortalView

ChoiceFilter = filters.ChoiceFilter
MAX_SEARCH: Final = 200


class TableFilter(filters.FilterSet):
    """A search box over `search_fields`, and whatever further filters a subclass declares."""

    search_fields: ClassVar[tuple[str, ...]] = ()

    q = filters.CharFilter(
        method="search",
        label="Search",
        max_length=MAX_SEARCH,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Search", "data-search": ""}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.search_fields:
            del self.filters["q"]

    def search(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Rows in which every word is found in one of the fields."""
        for word in value.split():
            queryset = queryset.filter(self.match(word))
        return queryset

    def match(self, word: str) -> Q:
        """Rows that hold the word; a subclass may look in further places."""
        return reduce(or_, (Q(**{f"{field}__icontains": word}) for field in self.search_fields))

    @property
    def is_active(self) -> bool:
        """Whether any filter is in use: then an empty table has another reason."""
        return any(self.data.get(name) for name in self.filters)


class TableView(PortalView):
    """Shows one table; answers htmx with the table alone and `?export=csv|xlsx|json` with a file of all its rows."""

    table_class: type[Table]
    filter_class: type[TableFilter] = TableFilter
    empty_action: tuple[str, str] | None = None
    part_template: str = "components/_table_body.html"

    def get_queryset(self) -> QuerySet[Any] | Sequence[Any]:
        """The rows that this actor may see. Filters work on querysets only."""
        raise NotImplementedError

    def get_data(self, rows: QuerySet[Any], filterset: TableFilter) -> Any:
        """What the table shows of the filtered rows; `LazyTableData` where it is computed from them."""
        return rows

    def get_table_kwargs(self) -> dict[str, Any]:
        return {}

    def get_total(self) -> int | None:
        """The number of unfiltered rows where a counter knows it; None counts them."""
        return None

    def get_empty_action(self) -> tuple[str, str] | None:
        """(label, URL) of what to do about an empty table; the URL opens as a dialog."""
        return self.empty_action

    def get_bulk_actions(self) -> Sequence[BulkAction]:
        """What this actor may do with several rows at once; where there is anything, rows can be chosen."""
        return ()

    def get_export_name(self) -> str:
        return f"{self.table_class.key}-{self.now:%Y-%m-%d}"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        rows = self.get_queryset()
        filterset = self.filter_class(request.GET, rows, request=request) if isinstance(rows, QuerySet) else None
        data = self.get_data(filterset.qs, filterset) if filterset else list(rows)
        table = self.table_class(data, bulk_actions=self.get_bulk_actions(), **self.get_table_kwargs())
        self._choose_columns(table)
        table.sort(request.GET.get(table.prefixed_order_by_field, ""))
        if "export" in request.GET:
            return self._export(table, request.GET["export"])
        filtered = filterset is not None and filterset.is_active
        table.turn_to(
            page=request.GET.get(table.prefixed_page_field, "1"),
            per_page=request.GET.get(table.prefixed_per_page_field, ""),
            total=None if filtered else self.get_total(),
        )
        context = {
            "table": table,
            "filter": filterset,
            "filtered": filtered,
            "page_sizes": PAGE_SIZES,
            "empty_action": self.get_empty_action(),
        }
        if self.wants_part and self.request.htmx.target == table.element_id:
            return self.render_part(self.part_template, context)
        return self.render(context=context, status=HTTPStatus.OK)

    def _choose_columns(self, table: Table) -> None:
        """From the query string, else as the person chose last, else as the table is made."""
        remembered = f"columns:{table.key}"
        chosen: list[str] | None = self.request.session.get(remembered)
        if "columns" in self.request.GET:
            known = {column.name for column in table.optional_columns}
            chosen = [name for name in self.request.GET.getlist("columns") if name in known]
            if chosen != self.request.session.get(remembered):
                self.request.session[remembered] = chosen
        if chosen is not None:
            table.show_only(chosen)

    def _export(self, table: Table, kind: str) -> HttpResponseBase:
        if kind not in EXPORTS:
            raise Invalid("Tables are exported as csv, xlsx or json.", where="export")
        return EXPORTS[kind](table, self.get_export_name())
