"""Rows of the benchmark table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    what: str
    value: float
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    ratio: str = ""


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def table(rows: list[Row]) -> str:
    lines = [f"{'what':<64}{'rate':>12} {'unit':<10}{'p50 ms':>9}{'p99 ms':>9}  ratio"]
    for row in rows:
        p50 = f"{row.p50_ms:.1f}" if row.p50_ms is not None else "–"
        p99 = f"{row.p99_ms:.1f}" if row.p99_ms is not None else "–"
        lines.append(f"{row.what:<64}{row.value:>12,.1f} {row.unit:<10}{p50:>9}{p99:>9}  {row.ratio}")
    return "\n".join(lines) + "\n"
