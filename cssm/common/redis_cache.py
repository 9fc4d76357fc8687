"""Django's cache in Redis, by clients that are kept, with a counter that takes one round trip but for its first."""

from typing import Any

from django.core.cache.backends import redis as stock


class _Clients(stock.RedisCacheClient):
    # Not in the stubs.
    _client: Any
    _get_connection_pool: Any

    def __init__(self, servers: Any, **options: Any) -> None:
        super().__init__(servers, **options)
        self._kept: dict[int, Any] = {}

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        # The stock one makes one for each command, which takes longer than the command.
        pool = self._get_connection_pool(write)
        if (kept := self._kept.get(id(pool))) is None:
            kept = self._kept[id(pool)] = self._client(connection_pool=pool)
        return kept

    def count(self, key: str, timeout: int) -> int:
        client = self.get_client(key, write=True)
        count = int(client.incr(key))
        # Of thousands only the first needs a second command. Were it cut off between the two, a number would stay
        # behind that nobody asks for after its window.
        if count == 1:
            client.expire(key, timeout)
        return count


class RedisCache(stock.RedisCache):
    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Clients

    def count(self, key: str, timeout: int) -> int:
        """One more, from one on; the counter is dropped `timeout` seconds after its first."""
        clients: Any = self._cache
        return int(clients.count(self.make_and_validate_key(key), timeout))
