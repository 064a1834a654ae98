"""Where a provider's endpoints and its API are."""

from __future__ import annotations

import functools

from ..protocol import urls
from ..protocol.errors import ConfigurationError
from .options import Options
from .resource_server import ResourceServer


class Endpoints(Options):
    """A handler's endpoints by name: ``"authorization_url"``, ``"token_url"``, ``"revoke_url"``, …

    Each is a path below ``site``, or an absolute URL. They are joined at each use, because ``site``
    may be assigned later.
    """

    #: The URL that paths of endpoints are appended to.
    site: str
    #: The authorization endpoint (RFC 6749, section 3.1).
    authorization_url: str
    #: The token endpoint (RFC 6749, section 3.2).
    token_url: str

    @functools.cached_property
    def _found_secure(self) -> dict[str, str]:
        """The endpoints by name that were found secure. To parse a URL again takes long."""
        return {}

    def endpoint(self, name: str) -> str:
        """Return the absolute URL of an endpoint.

        :param name: the option that has it, such as ``"token_url"``.
        :raises ConfigurationError: the handler has no such endpoint, or has a path and no ``site``.
        """
        url = urls.join(self.site, getattr(self, name) or "")
        if not urls.is_absolute(url):
            raise ConfigurationError(
                f"{name}={getattr(self, name)!r} has no host: give {type(self).__name__} a site,"
                " or make it an absolute URL."
            )
        return url

    def secure_endpoint(self, name: str) -> str:
        """Return the absolute URL of an endpoint that receives secrets.

        :raises ConfigurationError: it is neither https nor on this machine nor in ``http_hosts``.
        """
        url = self.endpoint(name)
        if self._found_secure.get(name) != url:
            self._found_secure[name] = urls.require_https(url, name, self.http_hosts)
        return url

    def has_endpoint(self, name: str) -> bool:
        """Return True if the provider has this endpoint."""
        given = getattr(self, name)
        return bool(given) and urls.is_absolute(urls.join(self.site, given))

    def inner_url(self, url: str) -> str:
        """Return the URL by which this server itself reaches a URL of the provider."""
        return url

    @property
    def resource_server(self) -> ResourceServer:
        """What a session needs to know of the provider's API."""
        base = self.api_url if self.api_url is not None else self.site
        return ResourceServer(
            base_url=self.inner_url(urls.join(self.site, base)),
            origins=self._api_origins() | self.api_origins,
            bearer_method=self.bearer_method,
            bearer_scheme=self.bearer_scheme,
            headers=self.headers,
            http_hosts=self.http_hosts,
            http_options=self.http_options,
        )

    def _api_origins(self) -> frozenset[str]:
        """Return the origin of ``api_url``; without it, those of the site and the endpoints."""
        if self.api_url:
            api_url = urls.join(self.site, self.api_url)
            return frozenset({urls.origin(api_url), urls.origin(self.inner_url(api_url))})
        names = ("authorization_url", "token_url", "userinfo_url")
        endpoints = (self.endpoint(name) for name in names if self.has_endpoint(name))
        return frozenset(filter(None, map(urls.origin, (self.site, *endpoints))))
