"""`RedisStore`: records in Redis or Valkey, one server or a cluster, for apps on several machines.

Needs the extra ``redis``.
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

#: Seconds to connect, and to wait for an answer.
PATIENCE = 3.0
#: Seconds by which the clocks of this machine and of Redis may differ.
SKEW = 60.0
#: Ids that a page of a scan or a sweep looks at together.
PAGE = 500

# Each script works on one key, so that a cluster runs them too; and each may be sent again after
# a lost answer, as some clients do: it knows its own work by a random value.
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
# An entry's score only rises: it ends with the record or later, never before it.
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


def _translated(method: t.Callable[P, T]) -> t.Callable[P, T]:
    """Have a method raise our error in place of Redis's."""

    @functools.wraps(method)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (RedisError, OSError) as error:
            kind = type(error).__name__
        # Raised here, the error has not Redis's in its chain, with what was sent in that.
        raise StoreError(f"The Redis of the logins can't be used now ({kind}).")

    return translated


class RedisStore:
    """Keeps records in Redis 5 or later, or in Valkey.

    Records, leases and what happened once end by Redis's own clock and expiry. No operation needs
    several keys at once, so a cluster's client works. Redis must not evict keys
    (``maxmemory-policy noeviction``), or logins end before their time.

    :param url_or_client: a URL such as ``"redis://redis.example.com/0"`` (``rediss://`` with TLS;
        ``valkey://`` too), or a client of redis-py, ``Redis`` or ``RedisCluster``. A client of
        your own should have a ``socket_timeout`` of a few seconds, and had better not repeat
        commands (``retry``).
    :param prefix: what the names of all keys begin with.
    :raises ConfigurationError: the URL can't be used.
    """

    def __init__(self, url_or_client: str | t.Any, *, prefix: str = "oauth2_login:") -> None:
        require_given(self, url_or_client)
        self._prefix = prefix
        self._client: t.Any = url_or_client
        if isinstance(url_or_client, str):
            self._client = _connect(url_or_client)

    @_translated
    def read(self, id: str) -> Stored | None:
        sealed, version = self._client.hmget(self._record(id), "sealed", "version")
        return None if version is None else Stored(_text(sealed), _text(version))

    @_translated
    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        # The member of an index names this very record, so that whoever deletes an older one of
        # the same id leaves it alone.
        birth = token_hex(8)
        values = (sealed, token_hex(8), birth, json.dumps(dict(labels)), _milliseconds(expires_at))
        self._trim()
        # The indexes first: a record that none of them knew could never be found.
        self._index(id, birth, labels, expires_at, "add")
        self._client.zadd(self._key("ids"), {_member(id, birth): 0})
        created = self._client.eval(_CREATE, 1, self._record(id), *values)
        if not created:
            self._forget(id, birth, labels)
            raise KeyError("A record with this id exists already.")

    @_translated
    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        known = self._known(id)
        if known is None:
            return "gone"
        self._index(id, *known, expires_at, "raise")
        values = (version, sealed, token_hex(8), _milliseconds(expires_at))
        outcome = _text(self._client.eval(_REPLACE, 1, self._record(id), *values))
        return t.cast(Outcome, outcome)

    @_translated
    def touch(self, id: str, expires_at: float) -> None:
        if known := self._known(id):
            self._index(id, *known, expires_at, "raise")
            values = (known[0], _milliseconds(expires_at))
            self._client.eval(_TOUCH, 1, self._record(id), *values)

    @_translated
    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        left = self._client.pttl(self._record(id))
        if left > 0 and (known := self._known(id)):
            birth, former = known
            # The new indexes first; what the old ones have is dead once the record is relabelled.
            self._index(id, birth, labels, time.time() + left / 1000, "add")
            self._client.eval(_RELABEL, 1, self._record(id), birth, json.dumps(dict(labels)))
            for key in set(self._indexes(former)) - set(self._indexes(labels)):
                self._client.zrem(key, _member(id, birth))

    @_translated
    def delete(self, id: str) -> bool:
        known = self._known(id)
        if known is None or not self._client.eval(_DELETE, 1, self._record(id), known[0]):
            return False
        self._forget(id, *known)
        return True

    @_translated
    def find(self, **labels: str) -> list[str]:
        key = self._index_key(find_index(labels), labels)
        return self._living(self._client.zrange(key, 0, -1))

    @_translated
    def scan(self, after: str | None, limit: int) -> list[str]:
        found: list[str] = []
        # No id has the byte 1, so this is beyond all members that begin with the id.
        start = "-" if after is None else f"({after}\x01"
        while len(found) < limit:
            key = self._key("ids")
            members = self._client.zrangebylex(key, start, "+", start=0, num=PAGE)
            found += self._living(members)
            if len(members) < PAGE:
                break
            start = f"({_text(members[-1])}"
        return found[:limit]

    @_translated
    def lease(self, name: str, seconds: float) -> str | None:
        return self._take(self._key("lease", name), seconds)

    @_translated
    def release(self, name: str, ticket: str) -> None:
        self._client.eval(_RELEASE, 1, self._key("lease", name), ticket)

    @_translated
    def once(self, name: str, seconds: float) -> bool:
        return self._take(self._key("once", name), seconds) is not None

    @_translated
    def sweep(self) -> int:
        """Take what has expired out of the indexes; Redis itself has deleted the records."""
        swept = 0
        while trimmed := self._trim(PAGE):
            swept += trimmed
        return swept

    def _take(self, key: str, seconds: float) -> str | None:
        ticket = token_hex(8)
        taken = self._client.eval(_TAKE, 1, key, ticket, max(1, math.ceil(seconds * 1000)))
        return ticket if taken else None

    def _known(self, id: str) -> tuple[str, dict[str, str]] | None:
        """A record's birth and labels."""
        birth, labels = self._client.hmget(self._record(id), "birth", "labels")
        return None if birth is None else (_text(birth), json.loads(_text(labels)))

    def _index(
        self, id: str, birth: str, labels: t.Mapping[str, str], expires_at: float, how: str
    ) -> None:
        ends, ended = _milliseconds(expires_at + SKEW), _milliseconds(time.time() - SKEW)
        # What the list of all ends has lost can't be trimmed from the list of all ids.
        for key, trim in [(self._key("ends"), ""), *((k, ended) for k in self._indexes(labels))]:
            self._client.eval(_INDEX, 1, key, _member(id, birth), ends, how, trim)

    def _forget(self, id: str, birth: str, labels: t.Mapping[str, str]) -> None:
        for key in (*self._indexes(labels), self._key("ids"), self._key("ends")):
            self._client.zrem(key, _member(id, birth))

    def _trim(self, limit: int = 10) -> int:
        """Take some expired records out of the lists of all."""
        ended = _milliseconds(time.time() - SKEW)
        key = self._key("ends")
        members = self._client.zrangebyscore(key, "-inf", ended, start=0, num=limit)
        if members:
            self._client.zrem(self._key("ids"), *members)
            self._client.zrem(key, *members)
        return len(members)

    def _living(self, members: t.Iterable[t.Any]) -> list[str]:
        """The ids among an index's members whose very record lives."""
        pairs = [_text(member).split("\0") for member in members]
        living: list[str] = []
        for i in range(0, len(pairs), PAGE):
            page = pairs[i : i + PAGE]
            pipeline = self._client.pipeline(transaction=False)
            for id, _ in page:
                pipeline.hget(self._record(id), "birth")
            births = pipeline.execute()
            living += [
                id
                for (id, birth), found in zip(page, births, strict=True)
                if found is not None and _text(found) == birth
            ]
        return living

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def _record(self, id: str) -> str:
        return self._key("record", id)

    def _indexes(self, labels: t.Mapping[str, str]) -> list[str]:
        return [
            self._index_key(index, labels) for index in INDEXES if all(x in labels for x in index)
        ]

    def _index_key(self, index: tuple[str, ...], labels: t.Mapping[str, str]) -> str:
        return self._key("by", index[-1], "\0".join(labels[label] for label in index))


def _connect(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            # The same by another name, and with TLS too.
            re.sub("^valkey(s?)://", r"redis\1://", url),
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, RedisError):
        pass
    raise ConfigurationError(
        "The store's URL is not one of Redis. Examples: 'redis://:password@host:6379/0', 'rediss://…'"
        " (TLS), 'unix:///run/redis.sock'."
    )


def _member(id: str, birth: str) -> str:
    return f"{id}\0{birth}"


def _milliseconds(seconds: float) -> int:
    return math.floor(seconds * 1000)


def _text(value: t.Any) -> str:
    """What a client answers: bytes, or text if it was made with ``decode_responses``."""
    return value.decode() if isinstance(value, bytes) else str(value)
