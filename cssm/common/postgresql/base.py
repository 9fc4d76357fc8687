"""The engine for PostgreSQL: the stock one, with statements that stay planned and connections that are trusted a while.

Planning a statement of the device messages takes PostgreSQL longer than running it, and asking a connection whether it
still stands costs every request a round trip.
"""

from time import monotonic
from typing import Any, Final

from django.db.backends.postgresql import base

from cssm.common.postgresql.direct import DirectCursor, Statements

TRUST_SECONDS: Final = 1.0


class DatabaseWrapper(base.DatabaseWrapper):
    _answered_at = float("-inf")
    _direct: Statements | None = None
    health_check_done: bool
    health_check_enabled: bool

    def get_new_connection(self, conn_params: Any) -> Any:
        """As the stock engine; psycopg itself prepares nothing, for with what it drops it would drop ours too."""
        connection = super().get_new_connection(conn_params)
        self._direct = Statements(connection) if connection.prepare_threshold == 0 else None
        connection.prepare_threshold = None
        return connection

    def prepared_cursor(self) -> Any:
        """A cursor whose statements are planned once for the connection, with their parameters sent apart from them."""
        self.close_if_health_check_failed()
        self.ensure_connection()
        if self._direct is None:
            return self.cursor()
        return self._prepare_cursor(DirectCursor(self._direct))  # type: ignore[attr-defined]  # not in the stubs

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
