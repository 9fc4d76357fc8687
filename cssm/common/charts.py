"""Step charts as coordinates for a template that draws SVG: without script or inline style, sharp at every width.

The plot is stretched to the width there is, so every position is a share of it: lines in thousandths, labels in
percent.
What a chart shows also stands in a table beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SIDE: Final = 1000
TOP, DEPTH = 4.0, 84.0
MOST_LABELS: Final = 6
# What a label takes of the width of a plot that has a table beside it, in percent.
LABEL_SHARE: Final = 15


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each bucket. `key` is its CSS class, which also gives the kind of line; `filled` down to 0."""

    key: str
    label: str
    values: Sequence[int]
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    key: str
    label: str
    path: str
    filled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place in percent; a minor one is left out where there is little room."""

    label: str
    place: str
    anchor: str = "start"
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of buckets that is marked, in thousandths of the width."""

    left: str
    width: str


@dataclass(frozen=True, slots=True)
class Chart:
    key: str
    title: str
    description: str
    traces: list[Trace]
    bands: list[Band]
    band_label: str
    rows: list[Tick]
    columns: list[Tick]


def draw_chart(
    *,
    key: str,
    title: str,
    description: str,
    series: Sequence[Series],
    labels: Sequence[str],
    marked: Sequence[bool] = (),
    band_label: str = "",
) -> Chart:
    """A step for each bucket, from its value straight to the next: what is counted does not change gradually.

    `labels` name the buckets, `marked` says which of them lie in a band.
    """
    top = round_up(max((value for one in series for value in one.values), default=0))
    return Chart(
        key=key,
        title=title,
        description=description,
        traces=[Trace(one.key, one.label, step_path(one.values, top, filled=one.filled), one.filled) for one in series],
        bands=_bands(marked),
        band_label=band_label,
        rows=_rows(top),
        columns=_columns(labels),
    )


def round_up(value: int) -> int:
    """The scale's end: 1, 2, 4, 5 or 8 times a power of ten, which quarters well; at least 4."""
    size = 1
    while True:
        for factor in (1, 2, 4, 5, 8):
            if factor * size >= max(value, 4):
                return factor * size
        size *= 10


def step_path(values: Sequence[int], top: int, *, filled: bool = False) -> str:
    """An SVG path in a square of `SIDE`; level along each bucket. Filled: closed along the bottom."""
    if not values:
        return ""
    width = SIDE / len(values)
    parts = [f"M0 {SIDE}" if filled else f"M0 {_height(values[0], top)}"]
    before: int | None = None if filled else values[0]
    for number, value in enumerate(values):
        if value != before:
            parts.append(f"V{_height(value, top)}")
            before = value
        if number + 1 == len(values) or values[number + 1] != value:
            parts.append(f"H{_short((number + 1) * width)}")
    return "".join([*parts, f"V{SIDE}Z"] if filled else parts)


def _height(value: int, top: int) -> str:
    return _short(SIDE - SIDE * max(0, value) / top)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _bands(marked: Sequence[bool]) -> list[Band]:
    bands, begin = [], None
    for number, inside in enumerate([*marked, False]):
        if inside and begin is None:
            begin = number
        elif not inside and begin is not None:
            share = SIDE / len(marked)
            bands.append(Band(_short(begin * share), _short((number - begin) * share)))
            begin = None
    return bands


def _rows(top: int) -> list[Tick]:
    steps = 4 if top % 4 == 0 else 5
    return [
        Tick(label=f"{top * step // steps:,}", place=f"{TOP + DEPTH * (1 - step / steps):.2f}%")
        for step in range(steps + 1)
    ]


def _columns(labels: Sequence[str]) -> list[Tick]:
    if not labels:
        return []
    stride = -(-len(labels) // MOST_LABELS)
    ticks = []
    for place, number in enumerate(range(0, len(labels), stride)):
        share = 100 * number / len(labels)
        if share > 88 and 100 * stride / len(labels) < 2 * LABEL_SHARE:
            break  # anchored at its end it would run into the one before
        ticks.append(Tick(labels[number], f"{share:.2f}%", "end" if share > 88 else "start", minor=bool(place % 2)))
    return ticks
