"""Connections to providers' APIs, shared by all visitors of an app. They carry no one's token."""

from __future__ import annotations

import os

from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from ..protocol.fork_safe import PerProcess
from ..protocol.urls import is_loopback_http

#: Hosts to keep connections to, and connections to keep for each.
POOL_HOSTS = 32
POOL_CONNECTIONS = 64

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_CA_BUNDLES, *_PROXIES, *map(str.upper, _PROXIES), "REQUEST_METHOD")


class Pool:
    """One app's connections, and what it remembers of the environment."""

    def __init__(self) -> None:
        self._adapter = PerProcess(
            lambda: HTTPAdapter(pool_connections=POOL_HOSTS, pool_maxsize=POOL_CONNECTIONS)
        )
        self._environment: tuple[tuple[str | None, ...], dict[str, dict[str, str]]] = ((), {})

    @property
    def adapter(self) -> HTTPAdapter:
        return self._adapter.get()

    def environment(self, url: str) -> tuple[dict[str, str], str | None]:
        """The proxies and the CA bundle for a URL, looked up anew when a variable changes.

        requests looks them up for each call, at a tenth of the cost of a call on loopback.
        """
        variables = tuple(map(os.environ.get, _VARIABLES))
        known, proxies = self._environment
        if known != variables or len(proxies) > 256:
            proxies = {}
            self._environment = (variables, proxies)
        site = "/".join(url.split("/", 3)[:3])
        if site not in proxies:
            # No proxy of the environment's reads what is for this machine alone.
            alone = is_loopback_http(url)
            proxies[site] = {} if alone else dict(get_environ_proxies(url))
        return proxies[site], variables[0] or variables[1]
