"""Where a provider's endpoints and its API are."""

from __future__ import annotations

import functools
import typing as t

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
    #: The last value of `resource_server`, after what it was made of.
    _known_api: tuple[t.Any, ResourceServer | None] = (None, None)

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
        """What a session needs to know of the provider's API. It is made anew if that changes."""
        api_url = urls.join(self.site, self.api_url or "")
        given: tuple[t.Any, ...] = (
            self.inner_url(api_url),
            self._allowed_urls(api_url),
            self.bearer_method,
            self.bearer_scheme,
            self.headers,
            self.http_hosts,
            self.http_options,
        )
        known, api = self._known_api
        if api is None or known != given:
            base_url, allowed, *more = given
            origins = frozenset(filter(None, map(urls.origin, allowed)))
            api = ResourceServer(base_url, origins, *more)
            self._known_api = (given, api)
        return api

    def _allowed_urls(self, api_url: str) -> tuple[str, ...]:
        """Return URLs of all origins that the token may be sent to.

        They are the API's; without ``api_url``, those of the site and the endpoints.
        """
        if self.api_url:
            return api_url, self.inner_url(api_url), *self.api_origins
        names = ("authorization_url", "token_url", "userinfo_url")
        endpoints = (self.endpoint(name) for name in names if self.has_endpoint(name))
        return self.site, *endpoints, *self.api_origins
