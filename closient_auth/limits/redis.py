"""Count requests on Redis, in all windows of an identifier with one round trip."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from time import monotonic
from typing import Any
from zlib import crc32

import redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from closient_auth.limits.windows import CountRefused, StoreUnavailable, Verdict, Window, WindowState

# One hash contains all windows of an identifier, so they share one slot of a Redis Cluster and one expiry.
#
# The script uses Redis's clock, because the clocks of web servers may differ. It stores the end of each window with its
# count: if Redis's clock jumps, a new window starts instead of a stale one staying in force.
#
# ``ARGV`` is 1 to count or 0 to read, the CRC-32 of the identifier, then limit and period (seconds) of each window. The
# reply is 1 if the request is within its limits, else 0, then count and seconds left of each window.
SCRIPT = """\
local function number(text)
  return tonumber(text) or error('the counter contains an invalid count')
end

local now = tonumber(redis.call('TIME')[1])
local step, edge = tonumber(ARGV[1]), tonumber(ARGV[2])
local names = {}
for i = 3, #ARGV, 2 do
  names[#names + 1] = ARGV[i + 1] .. ':end'
  names[#names + 1] = ARGV[i + 1] .. ':count'
end
local stored = redis.call('HMGET', KEYS[1], unpack(names))

local reply = {1}
for i = 1, #names, 2 do
  local limit, period = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  -- As in django-ratelimit, a window's last second has the same remainder by the period as the CRC-32.
  local left = period - (now - edge - 1) % period
  local count = 0
  if stored[i] and number(stored[i]) == now + left then
    count = number(stored[i + 1])
  end
  if count >= limit then
    reply[1] = 0
  end
  reply[i + 1], reply[i + 2] = count, left
end

if step > 0 and reply[1] == 1 then
  local begun, longest = false, 0
  for i = 2, #reply, 2 do
    if reply[i] > 0 then
      redis.call('HINCRBY', KEYS[1], names[i], step)
    else
      redis.call('HSET', KEYS[1], names[i - 1], now + reply[i + 1], names[i], step)
      begun = true
    end
    reply[i] = reply[i] + step
    longest = math.max(longest, reply[i + 1])
  end
  -- Another window in this hash may need a later expiry.
  if begun and longest * 1000 > redis.call('PTTL', KEYS[1]) then
    redis.call('EXPIRE', KEYS[1], longest)
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

# These options of the cache identify the server and the login.
ADDRESS = {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
POOLS = {redis.ConnectionPool, redis.BlockingConnectionPool}
CONNECTIONS = {redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection}
# Sending the client's name and version needs two round trips per new connection, and protocol 3 needs another.
HANDSHAKE = {
    "protocol": 2,
    **({"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}),
}


class RedisStore:
    """A ``Store`` on the Redis server of a connection pool.

    It has its own connections, never more than concurrent requests, and reuses them without a lock. The pool's connections
    may wait for seconds and retry. A redis-py client with short timeouts needs 45 instead of 28 µs of CPU for a count and
    one more round trip on a new connection, and it does not limit the total time on a server that is slow at every step.
    """

    def __init__(self, pool: redis.ConnectionPool, make_key: Callable[[str], str]) -> None:
        options = pool.connection_kwargs.items()
        address = {name: value for name, value in options if name in ADDRESS or name.startswith("ssl_")}
        timeouts = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        self._make_connection = partial(pool.connection_class, **address, **HANDSHAKE, **timeouts)
        self._make_key = make_key
        self._idle: deque[Any] = deque()

    def count(self, identifier: str, windows: Sequence[Window]) -> Verdict:
        return self._run(1, identifier, windows)

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        return self._run(0, identifier, windows).states

    def _run(self, step: int, identifier: str, windows: Sequence[Window]) -> Verdict:
        arguments = [1, self._make_key(f"closient_auth:limits:{identifier}"), step, crc32(identifier.encode())]
        for window in windows:
            arguments += window.limit, window.period
        allowed, *numbers = map(int, self._evaluate(arguments))
        states = zip(windows, numbers[::2], numbers[1::2], strict=True)
        return Verdict(allowed == 1, tuple(WindowState(window, count, reset) for window, count, reset in states))

    def _evaluate(self, arguments: Sequence[object]) -> Any:
        deadline = monotonic() + BUDGET
        try:
            return self._ask(self._idle.pop(), arguments, deadline)
        except IndexError:
            connection = self._connect()
        except (redis.ConnectionError, redis.TimeoutError):
            # The server restarted or closed an idle connection, or a firewall dropped it. The other idle connections are
            # probably closed too. If only the reply was lost, the request counts twice, and the limit is still enforced.
            self._idle.clear()
            connection = self._connect()
            _require_time(deadline)
        return self._ask(connection, arguments, deadline)

    def _connect(self) -> Any:
        connection: Any = self._make_connection()
        connection.connect()
        return connection

    def _ask(self, connection: Any, arguments: Sequence[object], deadline: float) -> Any:
        try:
            try:
                reply = _send(connection, "EVALSHA", SCRIPT_SHA, *arguments)
            except NoScriptError:
                # Redis loses its scripts on a restart.
                _require_time(deadline)
                reply = _send(connection, "EVAL", SCRIPT, *arguments)
        except ReadOnlyError:
            # A failover made this server a replica, so every later write fails too: treat it as an outage.
            raise
        except ResponseError as error:
            raise CountRefused(str(error)) from error
        if not isinstance(reply, list):
            raise redis.InvalidResponse("the reply of the script is invalid")
        # Reuse the connection only after a valid reply. A new connection resolves the server's name again.
        self._idle.append(connection)
        return reply


def _send(connection: Any, *command: object) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _require_time(deadline: float) -> None:
    # This is checked only before a retry. Socket timeouts limit the first attempt, and the clock also counts a thread's
    # wait for the CPU. Treating that wait as an outage would let a flood of requests switch off its own limits.
    if monotonic() > deadline - TIMEOUT:
        raise StoreUnavailable("no time is left to retry")
