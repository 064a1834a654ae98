"""Connections to one provider, which stay open between requests. They hold no credentials."""

from __future__ import annotations

import functools
import os
import ssl
import time
import typing as t
from http.client import RemoteDisconnected

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from .deadline import DeadlineConnection, deadline_of_this_request
from .errors import ConfigurationError
from .fork_safe import PerProcess
from .urls import is_loopback_http

#: The methods of requests that may be sent twice: RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
#: The number of hosts to keep connections to, and of connections to keep for each.
POOL_HOSTS = 32
POOL_CONNECTIONS = 64
#: How long (s) a connection may have been idle before a request is sent over it. Firewalls drop
#: idle connections without telling either side, some of them after four minutes.
MAX_IDLE = 60.0
#: The same for a request that is sent only once, such as one with a code. Many servers close a
#: connection that was idle for two or five seconds, and a request that comes just then is lost.
MAX_IDLE_ONCE = 1.5

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_CA_BUNDLES, *_PROXIES, *map(str.upper, _PROXIES), "REQUEST_METHOD")


class Connections:
    """The open connections of one handler, and the proxies that the environment names.

    The requests of all visitors and threads share the connections. A forked child opens its own.
    """

    def __init__(self) -> None:
        self._adapter = PerProcess(
            lambda: PooledAdapter(pool_connections=POOL_HOSTS, pool_maxsize=POOL_CONNECTIONS)
        )
        self._environment: tuple[tuple[str | None, ...], dict[str, dict[str, str]]] = ((), {})

    @property
    def adapter(self) -> PooledAdapter:
        """This process's connections."""
        return self._adapter.get()

    def environment(self, url: str) -> tuple[dict[str, str], str | None]:
        """Return the environment's proxies and CA bundle for a URL.

        They are cached until a variable changes: requests looks them up for each call, which costs
        a tenth of a call on loopback.
        """
        variables = tuple(map(os.environ.get, _VARIABLES))
        known, proxies = self._environment
        if known != variables or len(proxies) > 256:
            proxies = {}
            self._environment = (variables, proxies)
        site = _site_of(url)
        if site not in proxies:
            # A proxy that the environment names must not read plain http to this machine itself.
            alone = is_loopback_http(url)
            proxies[site] = {} if alone else dict(get_environ_proxies(url))
        return proxies[site], variables[0] or variables[1]


class StaleConnectionError(ConnectionResetError):
    """A connection that had been used before was closed before the first byte of a response."""


class _Connection(DeadlineConnection):
    """A mixin for connections that know whether they have been used before."""

    _has_answered = False
    #: When it became idle, by the monotonic clock.
    idle_since = 0.0

    def connect(self) -> None:
        self._has_answered = False
        super().connect()  # type: ignore[misc]

    def request(self, *args: t.Any, **kwargs: t.Any) -> None:
        try:
            super().request(*args, **kwargs)
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


class _HTTPConnection(_Connection, HTTPConnection):  # type: ignore[misc]
    pass


class _HTTPSConnection(_Connection, HTTPSConnection):  # type: ignore[misc]
    """A connection that does not load its CA bundle again each time it is opened."""

    _ca_bundle: str | None = None

    def connect(self) -> None:
        bundle = self._ca_bundle or self.ca_certs
        if bundle and (self.ssl_context is None or self._ca_bundle):
            is_usual = self.cert_reqs == "CERT_REQUIRED" and not self.cert_file and not self.proxy
            context = _find_context(bundle) if is_usual else None
            # Without one, urllib3 loads the bundle itself, and tells what is wrong with it.
            self._ca_bundle = bundle if context else None
            self.ca_certs = None if context else bundle
            self.ssl_context = context
        super().connect()


def _find_context(ca_bundle: str) -> ssl.SSLContext | None:
    """Return a TLS context with a CA bundle; None if the bundle can't be loaded."""
    try:
        found = os.stat(ca_bundle)
        return _make_context(ca_bundle, found.st_ino, found.st_mtime_ns, found.st_size)
    except OSError:
        return None


@functools.lru_cache(maxsize=8)  # loading a bundle takes ten times as long as a handshake
def _make_context(ca_bundle: str, *_version: int) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(ca_bundle)
    return context


class _Pool:
    """A mixin for pools that reopen a connection if it was idle for too long."""

    def _put_conn(self, conn: t.Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)  # type: ignore[misc]

    def _get_conn(self, timeout: float | None = None) -> t.Any:
        conn = super()._get_conn(timeout)  # type: ignore[misc]
        deadline = deadline_of_this_request()
        most = MAX_IDLE_ONCE if deadline is not None and deadline.is_of_one_try else MAX_IDLE
        if conn.sock is not None and time.monotonic() - conn.idle_since > most:
            conn.close()
        return conn


class _HTTPPool(_Pool, HTTPConnectionPool):
    ConnectionCls = _HTTPConnection  # type: ignore[assignment]


class _HTTPSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection  # type: ignore[assignment]


class PooledAdapter(HTTPAdapter):
    """Keeps connections open between requests, and ends a request at its deadline, if it has one.

    The connections raise :exc:`StaleConnectionError`, also through an HTTP proxy.
    """

    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        #: The pools that were used last, by the site and the CA bundle.
        self._pools: dict[tuple[str, bool | str], t.Any] = {}

    def close(self) -> None:
        super().close()
        self._pools.clear()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: t.Any,
        proxies: t.Any = None,
        cert: t.Any = None,
    ) -> t.Any:
        """Return the pool for a request. The usual pools are found by a short key, to save time."""
        site = _site_of(str(request.url))
        is_usual = (verify is True or isinstance(verify, str)) and "@" not in site
        if proxies or cert or not is_usual:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool = self._pools.get((site, verify))
        # urllib3 1 closes the pools that were used least recently.
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify)
            if len(self._pools) >= POOL_HOSTS:
                self._pools.clear()
            self._pools[site, verify] = pool
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: t.Any) -> requests.Response:
        """Return a response. One of the provider's own endpoints has no cookies, to save time."""
        if deadline_of_this_request() is None:
            return super().build_response(req, resp)
        response = requests.Response()
        response.status_code, response.reason = resp.status, resp.reason
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw, response.url = resp, str(req.url)
        return response

    def request_url(self, request: requests.PreparedRequest, proxies: t.Any) -> str:
        return super().request_url(request, proxies) if proxies else request.path_url

    def proxy_manager_for(self, proxy: str, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        elif deadline_of_this_request() is not None:
            raise ConfigurationError(
                "Requests to a provider's own endpoints can't use a SOCKS proxy, because their"
                " duration can't be limited there. Use an HTTP proxy, or none for this host"
                " (proxies={}, NO_PROXY).",
                row="socks-proxy",
            )
        return manager


def _site_of(url: str) -> str:
    """Return a URL up to its path."""
    return "/".join(url.split("/", 3)[:3])


def is_stale(error: requests.exceptions.RequestException) -> bool:
    """Return True if a request failed because the provider had closed an idle connection."""
    inner = [more for cause in error.args for more in (cause, *getattr(cause, "args", ()))]
    return any(isinstance(cause, StaleConnectionError) for cause in inner)
