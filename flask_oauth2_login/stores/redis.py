"""`RedisStore`: records in Redis or Valkey, one server or a cluster, for apps on several machines.

It needs the extra ``redis``.
"""

from __future__ import annotations

import functools
import json
import math
import re
import time
import typing as t
from secrets import token_hex

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ..protocol.errors import ConfigurationError, StoreError
from .base import INDEXES, Outcome, Stored, check_labels, find_index, require_given

P = t.ParamSpec("P")
T = t.TypeVar("T")

#: The longest wait (s) to connect, and for a response.
TIMEOUT = 3.0
#: How far (s) the clocks of this machine and of Redis may differ.
CLOCK_SKEW = 60.0
#: The number of ids that a scan, a sweep or a search reads at once.
PAGE_SIZE = 500

# Each script uses one key, so that a cluster can run it. Some clients send a script again after a
# lost response, so each script recognises by a random value what it has done already.
_CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then
    return redis.call('HGET', KEYS[1], 'birth') == ARGV[3] and 1 or 0
end
redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'version', ARGV[2], 'birth', ARGV[3],
    'labels', ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[5])
return 1
"""
_REPLACE = """
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return 'gone' end
if version == ARGV[3] then return 'replaced' end
if version ~= ARGV[1] then return 'changed' end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'version', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 'replaced'
"""
_TOUCH = """
if redis.call('HGET', KEYS[1], 'birth') == ARGV[1] then
    redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
"""
_RELABEL = """
if redis.call('HGET', KEYS[1], 'birth') == ARGV[1] then
    redis.call('HSET', KEYS[1], 'labels', ARGV[2])
end
"""
_DELETE = """
if redis.call('HGET', KEYS[1], 'birth') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_TAKE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# Keep a member in an index until its record expires, or longer: its score (the end in
# milliseconds) never falls. The arguments are the member, its score, "add" or "raise" (only if it
# is there), and the score up to which members are removed. If that is empty, no member is removed;
# otherwise the index itself expires with its last member.
_INDEX = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) < tonumber(ARGV[2]) or not score and ARGV[3] == 'add' then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
if ARGV[4] == '' then return end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2]) + 1)) end
"""


def _with_store_error(method: t.Callable[P, T]) -> t.Callable[P, T]:
    """Make a method raise `StoreError` in place of Redis's errors."""

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (RedisError, OSError) as error:
            kind = type(error).__name__
        # Raised outside of `except`, so that Redis's error, which may show what was sent, is not in
        # the chain.
        raise StoreError(
            f"The login store's Redis can't be used now ({kind}). Check that its server is running,"
            " and that the store's URL is right."
        )

    return wrapper


class RedisStore:
    """A :class:`TokenStore` in Redis (5 or later) or Valkey, on one server or a cluster.

    ::

        store = RedisStore("redis://redis.example.com/0")
        app.register_blueprint(OAuth2Login("github", store=store))

    Records and leases expire by Redis's own clock. No operation uses several keys at once, so a
    cluster's client works. Redis must not evict keys (``maxmemory-policy noeviction``), because
    logins would end too early.

    :param url_or_client: a URL such as ``"redis://redis.example.com/0"`` (``rediss://`` with TLS;
        also ``valkey://``), or a client of redis-py: ``Redis`` or ``RedisCluster``. A client of
        your own should have a ``socket_timeout`` of a few seconds, and should not repeat commands
        (``retry``).
    :param prefix: the start of all keys' names.
    :raises ConfigurationError: the URL can't be used, or is missing.
    """

    def __init__(self, url_or_client: str | t.Any, *, prefix: str = "oauth2_login:") -> None:
        require_given(self, url_or_client)
        self._prefix = prefix
        self._client: t.Any = url_or_client
        if isinstance(url_or_client, str):
            self._client = _connect(url_or_client)

    @_with_store_error
    def read(self, id: str) -> Stored | None:
        sealed, version = self._client.hmget(self._record_key(id), "sealed", "version")
        return None if version is None else Stored(_text(sealed), _text(version))

    @_with_store_error
    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        # A random value that distinguishes this record from an older one with the same id, so that
        # a late deletion of that one does not remove this one from the indexes.
        birth = token_hex(8)
        values = (sealed, token_hex(8), birth, json.dumps(dict(labels)), _milliseconds(expires_at))
        self._remove_expired()
        # Write the indexes first. If this process dies in between, an entry without a record does
        # no harm, but a record without an entry could never be found.
        self._update_indexes(id, birth, labels, expires_at, "add")
        self._client.zadd(self._key("ids"), {_member(id, birth): 0})
        created = self._client.eval(_CREATE, 1, self._record_key(id), *values)
        if not created:
            self._remove_from_indexes(id, birth, labels)
            raise KeyError("A record with this id exists already.")

    @_with_store_error
    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        known = self._birth_and_labels(id)
        if known is None:
            return "gone"
        self._update_indexes(id, *known, expires_at, "raise")
        values = (version, sealed, token_hex(8), _milliseconds(expires_at))
        outcome = _text(self._client.eval(_REPLACE, 1, self._record_key(id), *values))
        return t.cast(Outcome, outcome)

    @_with_store_error
    def touch(self, id: str, expires_at: float) -> None:
        if known := self._birth_and_labels(id):
            self._update_indexes(id, *known, expires_at, "raise")
            values = (known[0], _milliseconds(expires_at))
            self._client.eval(_TOUCH, 1, self._record_key(id), *values)

    @_with_store_error
    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        left = self._client.pttl(self._record_key(id))
        if left > 0 and (known := self._birth_and_labels(id)):
            birth, former = known
            # Add to the new indexes first. Entries in the old ones are removed at the end.
            self._update_indexes(id, birth, labels, time.time() + left / 1000, "add")
            self._client.eval(_RELABEL, 1, self._record_key(id), birth, json.dumps(dict(labels)))
            for key in set(self._index_keys(former)) - set(self._index_keys(labels)):
                self._client.zrem(key, _member(id, birth))

    @_with_store_error
    def delete(self, id: str) -> bool:
        known = self._birth_and_labels(id)
        if known is None or not self._client.eval(_DELETE, 1, self._record_key(id), known[0]):
            return False
        self._remove_from_indexes(id, *known)
        return True

    @_with_store_error
    def find(self, **labels: str) -> list[str]:
        key = self._index_key(find_index(labels), labels)
        return self._existing_ids(self._client.zrange(key, 0, -1))

    @_with_store_error
    def scan(self, after: str | None, limit: int) -> list[str]:
        found: list[str] = []
        # A member begins with an id and the byte 0. No id has the byte 1, so this start comes after
        # all members with the id.
        start = "-" if after is None else f"({after}\x01"
        while len(found) < limit:
            key = self._key("ids")
            members = self._client.zrangebylex(key, start, "+", start=0, num=PAGE_SIZE)
            found += self._existing_ids(members)
            if len(members) < PAGE_SIZE:
                break
            start = f"({_text(members[-1])}"
        return found[:limit]

    @_with_store_error
    def lease(self, name: str, seconds: float) -> str | None:
        return self._take(self._key("lease", name), seconds)

    @_with_store_error
    def release(self, name: str, ticket: str) -> None:
        self._client.eval(_RELEASE, 1, self._key("lease", name), ticket)

    @_with_store_error
    def once(self, name: str, seconds: float) -> bool:
        return self._take(self._key("once", name), seconds) is not None

    @_with_store_error
    def sweep(self) -> int:
        """Remove expired records from the indexes; Redis itself has deleted the records."""
        swept = 0
        while trimmed := self._remove_expired(PAGE_SIZE):
            swept += trimmed
        return swept

    def _take(self, key: str, seconds: float) -> str | None:
        ticket = token_hex(8)
        taken = self._client.eval(_TAKE, 1, key, ticket, max(1, math.ceil(seconds * 1000)))
        return ticket if taken else None

    def _birth_and_labels(self, id: str) -> tuple[str, dict[str, str]] | None:
        """Return a record's random value (see :meth:`create`) and labels; None if there is none."""
        birth, labels = self._client.hmget(self._record_key(id), "birth", "labels")
        return None if birth is None else (_text(birth), json.loads(_text(labels)))

    def _update_indexes(
        self, id: str, birth: str, labels: t.Mapping[str, str], expires_at: float, how: str
    ) -> None:
        """Put a record into its indexes, or raise its score there; see the script."""
        ends = _milliseconds(expires_at + CLOCK_SKEW)
        ended = _milliseconds(time.time() - CLOCK_SKEW)
        # Never trim "ends" here, because _remove_expired() needs its entries to clean "ids".
        for key, trim in [(self._key("ends"), ""), *((k, ended) for k in self._index_keys(labels))]:
            self._client.eval(_INDEX, 1, key, _member(id, birth), ends, how, trim)

    def _remove_from_indexes(self, id: str, birth: str, labels: t.Mapping[str, str]) -> None:
        for key in (*self._index_keys(labels), self._key("ids"), self._key("ends")):
            self._client.zrem(key, _member(id, birth))

    def _remove_expired(self, limit: int = 10) -> int:
        """Remove some expired records from "ids" and "ends". Return how many."""
        ended = _milliseconds(time.time() - CLOCK_SKEW)
        key = self._key("ends")
        members = self._client.zrangebyscore(key, "-inf", ended, start=0, num=limit)
        if members:
            self._client.zrem(self._key("ids"), *members)
            self._client.zrem(key, *members)
        return len(members)

    def _existing_ids(self, members: t.Iterable[t.Any]) -> list[str]:
        """Return the ids of those members of an index whose record exists."""
        pairs = [_text(member).split("\0") for member in members]
        existing: list[str] = []
        for i in range(0, len(pairs), PAGE_SIZE):
            page = pairs[i : i + PAGE_SIZE]
            pipeline = self._client.pipeline(transaction=False)
            for id, _ in page:
                pipeline.hget(self._record_key(id), "birth")
            births = pipeline.execute()
            existing += [
                id
                for (id, birth), found in zip(page, births, strict=True)
                if found is not None and _text(found) == birth
            ]
        return existing

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def _record_key(self, id: str) -> str:
        return self._key("record", id)

    def _index_keys(self, labels: t.Mapping[str, str]) -> list[str]:
        return [
            self._index_key(index, labels) for index in INDEXES if all(x in labels for x in index)
        ]

    def _index_key(self, index: tuple[str, ...], labels: t.Mapping[str, str]) -> str:
        return self._key("by", index[-1], "\0".join(labels[label] for label in index))


def _connect(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            # Valkey's schemes mean the same as Redis's.
            re.sub("^valkey(s?)://", r"redis\1://", url),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, RedisError):
        pass
    raise ConfigurationError(
        "The store's URL is not a URL of Redis. Examples: 'redis://:password@host:6379/0', 'rediss://…'"
        " (TLS), 'unix:///run/redis.sock'.",
        row="store-url",
    )


def _member(id: str, birth: str) -> str:
    return f"{id}\0{birth}"


def _milliseconds(seconds: float) -> int:
    return math.floor(seconds * 1000)


def _text(value: t.Any) -> str:
    """Return a response as text. Clients return text only with ``decode_responses``."""
    return value.decode() if isinstance(value, bytes) else str(value)
