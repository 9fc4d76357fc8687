"""Labels and badges that pure code can carry; templates translate and colour them."""

from dataclasses import dataclass
from enum import StrEnum


def mark(label: str) -> str:
    """Mark a label for translation without importing Django; the badge tag and tables translate it when shown."""
    return label


class Tone(StrEnum):
    """What a colour means. Colours are never used for anything else."""

    OK = "ok"
    BAD = "bad"
    WARN = "warn"
    INFO = "info"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Badge:
    label: str
    tone: Tone
