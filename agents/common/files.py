"""Files that nobody else may read (0600) and that are either the old or the new ones, whenever the power goes off."""

import os
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".new-"


def write_private_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Durable when this returns, unless that is not asked for; until then a file beside it named `TEMPORARY` ….

    What is not durable is still never half a file to another process.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
