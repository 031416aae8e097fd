"""Count on Redis, all windows of an identifier in one round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from time import monotonic
from typing import Any, Protocol
from zlib import crc32

import redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from closient_auth.limits.windows import CountRefused, StoreUnavailable, Usage, Verdict, Window

# One hash holds all windows of an identifier: one slot of a Redis Cluster, and one expiry.
#
# Redis's clock decides, so the clocks of the web servers may differ. The end of each window is kept beside its count: a
# clock that is set back or forth starts a new count, and does not leave an old one in force.
#
# ``ARGV``: 1 to count or 0 to look, the CRC-32 of the identifier, then limit and period of each window. The answer: 1 where
# the request is within its limits or 0, then count and seconds left of each window.
SCRIPT = """\
local function number(text)
  return tonumber(text) or error('the counter holds something that is no count')
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
  -- As django-ratelimit has it: the second that leaves the same remainder as the CRC-32 is the last of a window.
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
  -- Another window, which this call does not count, may need the hash for longer.
  if begun and longest * 1000 > redis.call('PTTL', KEYS[1]) then
    redis.call('EXPIRE', KEYS[1], longest)
  end
end
return reply
"""
# Redis names a script by this; it is no protection.
SCRIPT_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

# Seconds for each piece of an answer, and for all that one request waits for. Four fit: that of a connection which turns
# out to have ended, and those of a new one, to connect, to log in and to choose the database.
TIMEOUT = 0.06
BUDGET = 0.25

# Of the cache's options those that say which server it is and how it is entered.
ADDRESS = {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
POOLS = {redis.ConnectionPool, redis.BlockingConnectionPool}
CONNECTIONS = {redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection}
# To tell the server who is asking takes two round trips of each new connection, and to choose protocol 3 another.
HANDSHAKE = {
    "protocol": 2,
    **({"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}),
}


class Connection(Protocol):
    """What is used of redis-py's connections."""

    def connect(self) -> None: ...
    def send_command(self, *arguments: object) -> None: ...
    def read_response(self) -> Any: ...


class RedisStore:
    """
    A ``Store`` on the Redis that a connection pool leads to, over connections of its own.

    The pool's would wait for seconds and try again, and a client on top of it costs more than the count itself. A
    connection is taken and put back without a lock; there are never more than requests at once.
    """

    def __init__(self, pool: redis.ConnectionPool, make_key: Callable[[str], str]) -> None:
        address = {
            name: value for name, value in pool.connection_kwargs.items() if name in ADDRESS or name.startswith("ssl_")
        }
        self._make_connection: Callable[[], Connection] = partial(
            pool.connection_class, **address, **HANDSHAKE, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._make_key = make_key
        self._idle: deque[Connection] = deque()

    def count(self, identifier: str, windows: Sequence[Window]) -> Verdict:
        allowed, usages = self._run(1, identifier, windows)
        return Verdict(allowed, usages)

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        _, usages = self._run(0, identifier, windows)
        return usages

    def _run(self, step: int, identifier: str, windows: Sequence[Window]) -> tuple[bool, tuple[Usage, ...]]:
        arguments = [1, self._make_key(f"closient_auth:limits:{identifier}"), step, crc32(identifier.encode())]
        for window in windows:
            arguments += window.limit, window.period
        allowed, *numbers = map(int, self._evaluate(arguments))
        usages = zip(windows, numbers[::2], numbers[1::2], strict=True)
        return allowed == 1, tuple(Usage(window, count, reset) for window, count, reset in usages)

    def _evaluate(self, arguments: Sequence[object]) -> Any:
        deadline = monotonic() + BUDGET
        try:
            return self._ask(self._idle.pop(), arguments, deadline)
        except IndexError:
            connection = self._connect()
        except (redis.ConnectionError, redis.TimeoutError):
            # The server restarted or closed what was idle, or a firewall forgot it: the others will have ended as well.
            # If it counted and only the answer was lost, the request counts twice. The limit holds all the same.
            self._idle.clear()
            connection = self._connect()
            _require_time(deadline)
        return self._ask(connection, arguments, deadline)

    def _connect(self) -> Connection:
        connection = self._make_connection()
        connection.connect()
        return connection

    def _ask(self, connection: Connection, arguments: Sequence[object], deadline: float) -> Any:
        try:
            reply = _run_script(connection, arguments, deadline)
        except ReadOnlyError:
            # A failover made a replica of it, for all to come: that is an outage.
            raise
        except ResponseError as error:
            raise CountRefused(str(error)) from error
        if not isinstance(reply, list):
            raise redis.InvalidResponse("not what the script returns")
        # Only after a good answer: after any other the server's name is asked again.
        self._idle.append(connection)
        return reply


def is_plain(pool: redis.ConnectionPool) -> bool:
    """Return whether a pool leads to one server by its address alone; one of Sentinel, say, asks for the address first."""
    return type(pool) in POOLS and pool.connection_class in CONNECTIONS


def _run_script(connection: Connection, arguments: Sequence[object], deadline: float) -> Any:
    try:
        return _send(connection, "EVALSHA", SCRIPT_SHA, *arguments)
    except NoScriptError:
        # Redis forgets its scripts when it restarts.
        _require_time(deadline)
        return _send(connection, "EVAL", SCRIPT, *arguments)


def _send(connection: Connection, *command: object) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _require_time(deadline: float) -> None:
    # Only before a second try. What a first one takes is bounded by its time-outs, and the clock tells of more: a thread's
    # wait for the processor. To take that for an outage would let a flood of requests switch its own limits off.
    if monotonic() > deadline - TIMEOUT:
        raise StoreUnavailable("no time is left to ask again")
