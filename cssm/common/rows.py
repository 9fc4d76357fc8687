"""Rows that are computed where they are asked for: a table of any length that is never whole in memory."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, overload

from django_tables2.data import TableData

R = TypeVar("R")


class LazyRows(Generic[R]):
    """Subclasses say how many rows there are, and compute any stretch of them. Their order is their own."""

    chunk_rows = 1000

    def __len__(self) -> int:
        raise NotImplementedError

    def compute(self, start: int, stop: int) -> list[R]:
        """The rows from `start` to just before `stop`, both within the length."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[R]:
        length = len(self)
        for start in range(0, length, self.chunk_rows):
            yield from self.compute(start, min(start + self.chunk_rows, length))

    @overload
    def __getitem__(self, key: int) -> R: ...
    @overload
    def __getitem__(self, key: slice) -> list[R]: ...
    def __getitem__(self, key: int | slice) -> R | list[R]:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return self.compute(start, max(start, stop))
        if not 0 <= key < len(self):
            raise IndexError(key)
        return self.compute(key, key + 1)[0]


class LazyTableData(TableData):
    """Hands lazy rows to a table as they are; django-tables2 would make a list of them."""

    def __len__(self) -> int:
        return len(self.data)

    def order_by(self, aliases: Any) -> None:
        """The rows have their order; columns of such a table say `orderable=False`."""
