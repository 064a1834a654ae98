"""Connections to providers' APIs, which all visitors of an app share. They have no credentials."""

from __future__ import annotations

import os

from requests.utils import get_environ_proxies

from ..protocol.fork_safe import PerProcess
from ..protocol.urls import is_loopback_http
from .connections import APIAdapter

#: The number of hosts to keep connections to, and of connections to keep for each.
POOL_HOSTS = 32
POOL_CONNECTIONS = 64

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_CA_BUNDLES, *_PROXIES, *map(str.upper, _PROXIES), "REQUEST_METHOD")


class Pool:
    """One app's connections, and its cache of the environment's proxies."""

    def __init__(self) -> None:
        self._adapter = PerProcess(
            lambda: APIAdapter(pool_connections=POOL_HOSTS, pool_maxsize=POOL_CONNECTIONS)
        )
        self._environment: tuple[tuple[str | None, ...], dict[str, dict[str, str]]] = ((), {})

    @property
    def adapter(self) -> APIAdapter:
        """This process's adapter."""
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
        site = "/".join(url.split("/", 3)[:3])
        if site not in proxies:
            # A proxy that the environment names must not read plain http to this machine itself.
            alone = is_loopback_http(url)
            proxies[site] = {} if alone else dict(get_environ_proxies(url))
        return proxies[site], variables[0] or variables[1]
