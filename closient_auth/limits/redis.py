"""Count requests on Redis, in all windows of an identifier with one round trip."""

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha1
from time import monotonic
from typing import Any, Protocol
from zlib import crc32

import redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from closient_auth.limits.windows import CountRefused, NotAsked, StoreUnavailable, Verdict, Window, WindowState

# One hash contains all windows of an identifier, and another those of one of its clients. Each has one expiry, and the
# braces in their names put them into one slot of a Redis Cluster.
#
# The script uses Redis's clock, because the clocks of web servers may differ. It stores the end of each window with its
# count: if Redis's clock jumps, a new window starts instead of a stale one staying in force.
#
# ``ARGV`` is 1 to count or 0 to read, then five numbers for each window: the index of its hash in ``KEYS``, the CRC-32 of
# its counter's name, limit, period (seconds), and requests to add that were admitted elsewhere. The reply is 1 if the
# request is within its limits, else 0, then count and seconds left of each window.
SCRIPT = """\
local function number(text)
  return tonumber(string.match(tostring(text), '^%d+$')) or error('the counter contains an invalid count')
end

local now = tonumber(redis.call('TIME')[1])
local step = tonumber(ARGV[1])
local windows, reply = {}, {1}
for i = 2, #ARGV, 5 do
  local key, edge = KEYS[tonumber(ARGV[i])], tonumber(ARGV[i + 1])
  local limit, period, owed = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  -- As in django-ratelimit, a window's last second has the same remainder by the period as the CRC-32.
  local left = period - (now - edge - 1) % period
  local stored = redis.call('HMGET', key, period .. ':end', period .. ':count')
  local count = 0
  if stored[1] and number(stored[1]) == now + left then
    count = number(stored[2])
  end
  if count + owed >= limit then
    reply[1] = 0
  end
  windows[#windows + 1] = {key = key, period = period, count = count, left = left, owed = owed}
end

local longest = {}
for _, window in ipairs(windows) do
  local more = window.owed + step * reply[1]
  if more > 0 then
    if window.count > 0 then
      redis.call('HINCRBY', window.key, window.period .. ':count', more)
    else
      redis.call('HSET', window.key, window.period .. ':end', now + window.left, window.period .. ':count', more)
      longest[window.key] = math.max(longest[window.key] or 0, window.left)
    end
  end
  reply[#reply + 1] = window.count + more
  reply[#reply + 1] = window.left
end
-- A new window needs an expiry, and another window in its hash may need a later one.
for key, seconds in pairs(longest) do
  if seconds * 1000 > redis.call('PTTL', key) then
    redis.call('EXPIRE', key, seconds)
  end
end
return reply
"""
# Redis identifies a script by its SHA-1. This is not a security feature.
SCRIPT_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

# Timeout of one socket operation and time budget of one request, in seconds. The budget allows four operations: one on a
# closed connection, then connecting, logging in and selecting the database on a new one.
TIMEOUT = 0.06
BUDGET = 0.25

# Only these errors are about one counter. Any other, such as OOM, NOPERM or READONLY, would refuse every write.
COUNTER_ERRORS = ("WRONGTYPE", "the counter contains an invalid count")


class Servers(Protocol):
    """The servers of a cache: one server, or several that share the keys."""

    def evaluate(self, keys: Sequence[str], arguments: Sequence[object], deadline: float) -> Any:
        """Return the reply of the script. Raise redis-py's exceptions, or ``StoreUnavailable`` after the deadline."""


class RedisStore:
    """A ``Store`` on Redis."""

    def __init__(self, servers: Servers, make_key: Callable[[str], str]) -> None:
        self.servers = servers
        self._make_key = make_key

    def count(self, identifier: str, windows: Sequence[Window], owed: Sequence[int]) -> Verdict:
        return self._run(1, identifier, windows, owed)

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        return self._run(0, identifier, windows, [0] * len(windows)).states

    def _run(self, step: int, identifier: str, windows: Sequence[Window], owed: Sequence[int]) -> Verdict:
        keys: list[str] = []
        arguments = [step]
        client, edge = None, 0
        for window, number in zip(windows, owed, strict=True):
            # Windows of one client stand together.
            if window.client != client:
                client = window.client
                keys.append(self._make_key(f"closient_auth:limits:{window.get_counter(f'{{{identifier}}}')}"))
                edge = crc32(window.get_counter(identifier).encode())
            arguments += (len(keys), edge, window.limit, window.period, number)
        try:
            reply = self.servers.evaluate(keys, arguments, monotonic() + BUDGET)
        except ResponseError as error:
            if any(text in str(error) for text in COUNTER_ERRORS):
                raise CountRefused(str(error)) from error
            raise
        allowed, *numbers = map(int, reply)
        states = zip(windows, numbers[::2], numbers[1::2], strict=True)
        return Verdict(allowed == 1, tuple([WindowState(window, count, reset) for window, count, reset in states]))


class Server:
    """A Redis server, with connections to it.

    There are never more connections than concurrent requests, and they are reused without a lock. The connections of a
    cache may wait for seconds and retry. A redis-py client with short timeouts needs 45 instead of 28 µs of CPU for a
    count and one more round trip on a new connection, and it does not limit the total time on a server that is slow at
    every step.
    """

    def __init__(self, make_connection: Callable[[], Any]) -> None:
        self.make_connection = make_connection
        self._idle: deque[Any] = deque()

    def evaluate(
        self, keys: Sequence[str], arguments: Sequence[object], deadline: float, *, is_asking: bool = False
    ) -> Any:
        """See ``Servers.evaluate()``. ``is_asking`` asks a node of a cluster for a slot that is moving to it."""
        command = (len(keys), *keys, *arguments)
        try:
            return self._ask(self._idle.pop(), command, deadline, is_asking)
        except IndexError:
            try:
                connection = self._connect()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                raise NotAsked(type(error).__name__) from error
        except redis.TimeoutError:
            # A stalled server will still execute the script, so a second attempt would count the request twice.
            self._idle.clear()
            raise
        except (redis.ConnectionError, ReadOnlyError):
            # The server restarted or closed an idle connection, or a failover made the server a replica. The other idle
            # connections are probably lost too, and a new connection finds the new primary. If only the reply was lost,
            # the request counts twice, and the limit is still enforced.
            self._idle.clear()
            connection = self._connect()
            require_time(deadline)
        return self._ask(connection, command, deadline, is_asking)

    def _connect(self) -> Any:
        connection = self.make_connection()
        connection.connect()
        return connection

    def _ask(self, connection: Any, command: Sequence[object], deadline: float, is_asking: bool) -> Any:
        try:
            reply = _send(connection, is_asking, "EVALSHA", SCRIPT_SHA, *command)
        except NoScriptError:
            # Redis loses its scripts on a restart.
            require_time(deadline)
            reply = _send(connection, is_asking, "EVAL", SCRIPT, *command)
        if not isinstance(reply, list):
            raise redis.InvalidResponse("the reply of the script is invalid")
        # Reuse the connection only after a valid reply. A new connection resolves the server's name again.
        self._idle.append(connection)
        return reply


def require_time(deadline: float) -> None:
    """Raise ``StoreUnavailable`` if no time is left for another operation."""
    # This is checked only before a retry. Socket timeouts limit the first attempt, and the clock also counts a thread's
    # wait for the CPU. Treating that wait as an outage would let a flood of requests switch off its own limits.
    if monotonic() > deadline - TIMEOUT:
        raise StoreUnavailable("no time is left to retry")


def _send(connection: Any, is_asking: bool, *command: object) -> Any:
    if is_asking:
        connection.send_command("ASKING")
        connection.read_response()
    connection.send_command(*command)
    return connection.read_response()
