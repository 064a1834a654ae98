"""Connections that are kept open between calls of an API, and that the API may close when idle."""

from __future__ import annotations

import typing as t
from http.client import RemoteDisconnected

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

#: The methods of requests that may be sent twice: RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class StaleConnectionError(ConnectionResetError):
    """A connection that had been used before was closed before the first byte of a response."""


class _Reused:
    """A connection that says whether it has been used before. A mixin."""

    _has_answered = False

    def connect(self) -> None:
        self._has_answered = False
        super().connect()  # type: ignore[misc]

    def request(self, *args: t.Any, **kwargs: t.Any) -> None:
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except ConnectionResetError:
            if self._has_answered:
                raise StaleConnectionError from None
            raise

    def getresponse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            response = super().getresponse(*args, **kwargs)  # type: ignore[misc]
        except (RemoteDisconnected, ConnectionResetError, ConnectionAbortedError, BrokenPipeError):
            if self._has_answered:
                raise StaleConnectionError from None
            raise
        self._has_answered = True
        return response


class _HTTPConnection(_Reused, HTTPConnection):
    pass


class _HTTPSConnection(_Reused, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class APIAdapter(HTTPAdapter):
    """An adapter whose connections raise :exc:`StaleConnectionError`, also through a proxy."""

    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager


def is_stale(error: requests.exceptions.RequestException) -> bool:
    """Return True if a request failed because the API had closed an idle connection."""
    inner = [more for cause in error.args for more in (cause, *getattr(cause, "args", ()))]
    return any(isinstance(cause, StaleConnectionError) for cause in inner)
