"""The demo's random secrets: made once, kept in a git-ignored file that only its owner may read."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


class DemoSecrets:
    """`passwords` by e-mail, `clients` and `tokens` by a name; the same each time the demo is seeded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def password(self, email: str) -> str:
        return str(self._section("passwords").setdefault(email, secrets.token_urlsafe(12)))

    def recall(self, section: str, name: str) -> Any:
        return self._section(section).get(name)

    def remember(self, section: str, name: str, value: Any) -> None:
        self._section(section)[name] = value

    def save(self) -> None:
        """Replace the file at once, never readable by others, never half written."""
        unfinished = self.path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._values, file, indent=1)
        unfinished.replace(self.path)

    def _section(self, name: str) -> dict[str, Any]:
        return self._values.setdefault(name, {})
