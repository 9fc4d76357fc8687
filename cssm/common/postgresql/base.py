"""The engine for PostgreSQL: the stock one, with statements that stay planned and connections that are trusted a while.

Planning a statement of the device messages takes PostgreSQL longer than running it, and asking a connection whether it
still stands costs every request a round trip.
"""

from time import monotonic
from typing import Any, Final

from django.db.backends.postgresql import base

TRUST_SECONDS: Final = 1.0


class DatabaseWrapper(base.DatabaseWrapper):
    _answered_at = float("-inf")
    health_check_done: bool
    health_check_enabled: bool

    def prepared_cursor(self) -> Any:
        """A cursor whose statements are planned once for the connection, with their parameters sent apart from them."""
        if self.settings_dict["OPTIONS"].get("prepare_threshold") != 0:
            return self.cursor()
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(base.ServerBindingCursor(self.connection))  # type: ignore[attr-defined, call-arg]  # not in the stubs

    def close_if_health_check_failed(self) -> None:
        """As the stock engine; a connection that answered within the last second is not asked."""
        if self.connection is None or self.health_check_done or not self.health_check_enabled:
            return
        moment = monotonic()
        if moment - self._answered_at < TRUST_SECONDS:
            self.health_check_done = True
            return
        super().close_if_health_check_failed()
        self._answered_at = moment
