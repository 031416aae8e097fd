"""Count requests on Redis, in all windows of an identifier with one round trip."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha1
from time import monotonic
from typing import Any, Protocol, TypeVar
from zlib import crc32

import redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from closient_auth.limits.windows import (
    HOURS_KEPT,
    Count,
    CountRefused,
    Hours,
    NotAsked,
    StoreUnavailable,
    Verdict,
    Window,
    WindowState,
)

# One hash contains all windows of an identifier, and another those of one of its clients. Each has one expiry, and the
# braces in their names put them into one slot of a Redis Cluster.
#
# The script uses Redis's clock, because the clocks of web servers may differ. It stores the end of each window with its
# count: if Redis's clock jumps, a new window starts instead of a stale one staying in force.
#
# A third hash, in the same slot, contains the requests of the identifier in each of the last hours. A fault of this hash
# must not refuse a request, so the script uses ``pcall`` and reports whether it recorded the request.
#
# ``ARGV`` is 1 to count or 0 to read, and the index of the hash with the hours in ``KEYS`` or 0. Then there are five
# numbers for each window: the index of its hash in ``KEYS``, the CRC-32 of its counter's name, limit, period (seconds), and
# requests to add that were admitted elsewhere. The reply is 1 if the request is within its limits, else 0, then 1 if it was
# recorded, else 0, then count and seconds left of each window.
SCRIPT = """\
local function number(text)
  return tonumber(string.match(tostring(text), '^%d+$')) or error('the counter contains an invalid count')
end

local now = tonumber(redis.call('TIME')[1])
local step = tonumber(ARGV[1])
local windows, reply = {}, {1, 0}
for i = 3, #ARGV, 5 do
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

local key, hour = KEYS[tonumber(ARGV[2])], math.floor(now / 3600)
if key then
  local count = redis.pcall('HINCRBY', key, hour .. (reply[1] == 1 and ':requests' or ':refused'), 1)
  reply[2] = type(count) == 'number' and 1 or 0
  if count == 1 then
    -- At the first request of an hour, delete the hours that were collected long ago.
    for _, field in ipairs(redis.pcall('HKEYS', key)) do
      if (tonumber(string.match(field, '^%d+')) or 0) < hour - HOURS_KEPT then
        redis.pcall('HDEL', key, field)
      end
    end
    redis.pcall('EXPIRE', key, (HOURS_KEPT + 1) * 3600)
  end
end
return reply
""".replace("HOURS_KEPT", str(HOURS_KEPT))
# Redis identifies a script by its SHA-1. This is not a security feature.
SCRIPT_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

# The fields of a hash with hours, and a number that fits into a column of the database
HOUR_FIELD = re.compile(rb"(?P<hour>\d{1,7}):(?P<kind>requests|refused)")
NUMBER = re.compile(rb"\d{1,18}")

# Timeout of one socket operation and time budget of one request, in seconds. The budget allows four operations: one on a
# closed connection, then connecting, logging in and selecting the database on a new one.
TIMEOUT = 0.06
BUDGET = 0.25

# Only these errors are about one counter. Any other, such as OOM, NOPERM or READONLY, would refuse every write.
COUNTER_ERRORS = ("WRONGTYPE", "the counter contains an invalid count")

_T = TypeVar("_T")


class Servers(Protocol):
    """The servers of a cache: one server, or several that share the keys."""

    def evaluate(self, keys: Sequence[str], arguments: Sequence[object], deadline: float) -> Any:
        """Return the reply of the script. Raise redis-py's exceptions, or ``StoreUnavailable`` after the deadline."""

    def read_hashes(self, keys: Sequence[str], deadline: float) -> list[dict[bytes, bytes]]:
        """Return the hash of each key, in one round trip to each server. The hash of a key of another type is empty."""


class RedisStore:
    """A ``Store`` on Redis."""

    def __init__(self, servers: Servers, make_key: Callable[[str], str]) -> None:
        self.servers = servers
        self._make_key = make_key

    def count(
        self, identifier: str, windows: Sequence[Window], owed: Sequence[int], *, records: bool = False
    ) -> Verdict:
        return self._run(1, identifier, windows, owed, records)

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        return self._run(0, identifier, windows, [0] * len(windows)).states

    def read_hours(self, identifiers: Sequence[str]) -> list[Hours] | None:
        keys = [self._make_hours_key(identifier) for identifier in identifiers]
        return list(map(_read_hours, self.servers.read_hashes(keys, monotonic() + BUDGET)))

    def _make_hours_key(self, identifier: str) -> str:
        return self._make_key(f"closient_auth:usage:{{{identifier}}}")

    def _run(
        self, step: int, identifier: str, windows: Sequence[Window], owed: Sequence[int], records: bool = False
    ) -> Verdict:
        keys: list[str] = []
        arguments = [step, 0]
        client, edge = None, 0
        for window, number in zip(windows, owed, strict=True):
            # Windows of one client stand together.
            if window.client != client:
                client = window.client
                keys.append(self._make_key(f"closient_auth:limits:{window.get_counter(f'{{{identifier}}}')}"))
                edge = crc32(window.get_counter(identifier).encode())
            arguments += (len(keys), edge, window.limit, window.period, number)
        if records:
            keys.append(self._make_hours_key(identifier))
            arguments[1] = len(keys)
        try:
            reply = self.servers.evaluate(keys, arguments, monotonic() + BUDGET)
        except ResponseError as error:
            if any(text in str(error) for text in COUNTER_ERRORS):
                raise CountRefused(str(error)) from error
            raise
        allowed, is_recorded, *numbers = map(int, reply)
        states = zip(windows, numbers[::2], numbers[1::2], strict=True)
        return Verdict(
            allowed == 1,
            tuple([WindowState(window, count, reset) for window, count, reset in states]),
            is_recorded == 1,
        )


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
        return self._run(lambda connection: _evaluate(connection, command, deadline, is_asking), deadline)

    def read_hashes(self, keys: Sequence[str], deadline: float) -> list[dict[bytes, bytes]]:
        """See ``Servers.read_hashes()``."""
        return self._run(lambda connection: _read_hashes(connection, keys), deadline)

    def _run(self, ask: Callable[[Any], _T], deadline: float) -> _T:
        try:
            return self._ask(self._idle.pop(), ask)
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
        return self._ask(connection, ask)

    def _connect(self) -> Any:
        connection = self.make_connection()
        connection.connect()
        return connection

    def _ask(self, connection: Any, ask: Callable[[Any], _T]) -> _T:
        reply = ask(connection)
        # Reuse the connection only after a valid reply. A new connection resolves the server's name again.
        self._idle.append(connection)
        return reply


def require_time(deadline: float) -> None:
    """Raise ``StoreUnavailable`` if no time is left for another operation."""
    # This is checked only before a retry. Socket timeouts limit the first attempt, and the clock also counts a thread's
    # wait for the CPU. Treating that wait as an outage would let a flood of requests switch off its own limits.
    if monotonic() > deadline - TIMEOUT:
        raise StoreUnavailable("no time is left to retry")


def _evaluate(connection: Any, command: Sequence[object], deadline: float, is_asking: bool) -> list[Any]:
    try:
        reply = _send(connection, is_asking, "EVALSHA", SCRIPT_SHA, *command)
    except NoScriptError:
        # Redis loses its scripts on a restart.
        require_time(deadline)
        reply = _send(connection, is_asking, "EVAL", SCRIPT, *command)
    if not isinstance(reply, list):
        raise redis.InvalidResponse("the reply of the script is invalid")
    return reply


def _read_hashes(connection: Any, keys: Sequence[str]) -> list[dict[bytes, bytes]]:
    connection.send_packed_command(connection.pack_commands([("HGETALL", key) for key in keys]))
    hashes = []
    for _ in keys:
        try:
            reply = connection.read_response()
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            reply = []
        hashes.append(dict(zip(reply[::2], reply[1::2], strict=True)))
    return hashes


def _read_hours(fields: dict[bytes, bytes]) -> Hours:
    """Return the hours in a hash, without fields that the script cannot have written."""
    hours: dict[int, Count] = {}
    for field, value in fields.items():
        if (match := HOUR_FIELD.fullmatch(field)) and NUMBER.fullmatch(value):
            hour, kind = int(match["hour"]), match["kind"].decode()
            hours[hour] = hours.get(hour, Count())._replace(**{kind: int(value)})
    return hours


def _send(connection: Any, is_asking: bool, *command: object) -> Any:
    if is_asking:
        connection.send_command("ASKING")
        connection.read_response()
    connection.send_command(*command)
    return connection.read_response()
