"""The registration request: who the server is, and the three requests for certificates (white paper, table 1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sync.codecs.envelope import FORMAT, Readable, refuse
from sync.codecs.reader import Reader
from sync.codecs.shapes import Choice, Moment, Shape, Text
from sync.errors import FileCode

REQUEST: Final = "registration_request"
RESPONSE: Final = "authorization_response"
MAX_SIZE: Final = 512 * 1024
NAME_LIMIT: Final = 120
MAX_PEM: Final = 16 * 1024

UUID_TEXT: Final = 64
_SHAPE: Final = Shape(
    {
        ":format": Choice(frozenset({FORMAT})),
        ":type": Choice(frozenset({REQUEST})),
        ":instance_id": Text(UUID_TEXT),
        ":satellite_name": Text(NAME_LIMIT),
        ":exported_timestamp": Moment(),
        ":lcs_csr": Text(MAX_PEM, multiline=True),
        ":tg_csr": Text(MAX_PEM, multiline=True),
        ":ssms_csr": Text(MAX_PEM, multiline=True),
    }
)


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """The CSRs are PEM, unchecked."""

    instance_id: str
    satellite_name: str
    exported_at: datetime
    lcs_csr: str
    tg_csr: str
    ssms_csr: str


def find_lcs_csr(file: Readable, length: int) -> str:
    """The value of `:lcs_csr:` alone, read under all limits: the key in it verifies the file before it is parsed."""
    reader = Reader(file, length)
    check_opening(reader, REQUEST)
    known: dict[str, Any] = {}
    found = ""
    while type(event := reader.events.take()).__name__ == "ScalarEvent":
        name = reader.read_key(event, known, ())
        first = reader.events.take()
        if name == ":lcs_csr" and type(first).__name__ == "ScalarEvent":
            found = first.value
        else:
            reader.skip(first)
        if name is not None:
            known[name] = None
    reader.raise_problems()
    if not found:
        raise refuse(FileCode.MISSING_KEY, ":lcs_csr: is missing.", key=":lcs_csr:")
    return found


def read_registration(file: Readable, length: int) -> RegistrationRequest:
    """Raises `FileRefused` with all that is wrong."""
    reader = Reader(file, length)
    values = check_opening(reader, REQUEST)
    rest = reader.read_mapping(Shape({key: kind for key, kind in _SHAPE.fields.items() if key not in values}), ())
    reader.events.finish()
    reader.raise_problems()
    return RegistrationRequest(
        instance_id=rest[":instance_id"],
        satellite_name=rest[":satellite_name"],
        exported_at=rest[":exported_timestamp"][1],
        lcs_csr=rest[":lcs_csr"],
        tg_csr=rest[":tg_csr"],
        ssms_csr=rest[":ssms_csr"],
    )


def check_opening(reader: Reader, expected: str) -> dict[str, str]:
    """The content starts with `:format:` and `:type:`. Raises `FileRefused` (UNSUPPORTED_FORMAT)."""
    events = reader.events
    events.start()
    values: dict[str, str] = {}
    for key, value in ((":format", FORMAT), (":type", expected)):
        name, first = events.take(), events.take()
        if getattr(name, "value", None) != key or getattr(first, "value", None) != value:
            shown = str(getattr(first, "value", ""))[:60]
            raise refuse(
                FileCode.UNSUPPORTED_FORMAT,
                f"The content must start with '{key}: {value}'" + (f", not with {shown!r}." if shown else "."),
                line=events.line,
                key=f"{key}:",
            )
        values[key] = value
    return values
