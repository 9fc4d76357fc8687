"""What a file says it is, before it is known who signed it: good for a hint to a person, and for nothing else."""

from sync.codecs.envelope import Readable
from sync.codecs.reader import Reader
from sync.errors import FileRefused


def read_type(file: Readable, length: int) -> str:
    """The value of `:type:` where the content begins as ours do; empty where it does not."""
    events = Reader(file, length).events
    try:
        events.start()
        names = [getattr(events.take(), "value", "") for _ in range(4)]
    except FileRefused:
        return ""
    return str(names[3]) if names[0] == ":format" and names[2] == ":type" else ""
