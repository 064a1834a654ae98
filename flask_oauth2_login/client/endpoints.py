"""Where a provider's endpoints and its API are."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError
from ..protocol.nonces import Nonces
from ..protocol.token import Token
from . import answer_urls
from .options import Options
from .resource_server import ResourceServer, hide_paths_in_logs

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey


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
    #: What the last `resource_server` was made of, and that value.
    _known_api: tuple[t.Any, ResourceServer | None] = (None, None)

    @functools.cached_property
    def _found_secure(self) -> dict[str, tuple[str, frozenset[str]]]:
        """The endpoints by name that were found secure, and the ``http_hosts`` of that time.

        It saves parsing a URL again, which takes long.
        """
        return {}

    @functools.cached_property
    def nonces(self) -> Nonces:
        """The nonces that the provider and its API demand in proofs: RFC 9449, section 8."""
        return Nonces()

    @property
    def own_dpop_key(self) -> DPoPKey | None:
        """The client's own key for all tokens; None if each login has one, or if there is none."""
        return None if isinstance(self.dpop, bool) else self.dpop

    def endpoint(self, name: str) -> str:
        """Return the absolute URL of an endpoint.

        :param name: the option that has it, such as ``"token_url"``.
        :raises ConfigurationError: the handler has no such endpoint, or has a path and no ``site``.
        """
        url = urls.join(self.site, getattr(self, name) or "")
        if not urls.is_absolute(url):
            raise ConfigurationError(
                f"{name}={getattr(self, name)!r} has no host: give {type(self).__name__} a site,"
                " or make it an absolute URL.",
                row="url-without-host",
            )
        return url

    def completed(self, name: str, sources: answer_urls.Sources) -> str:
        """Return the absolute URL of an endpoint, completed by values of the provider's answers.

        :raises OAuth2Error: an answer lacks a value, or has one that is not allowed.
        """
        url = getattr(self, name)
        if not answer_urls.has_places(url):
            return self.endpoint(name)
        return self._complete(name, sources)

    def _complete(self, name: str, sources: answer_urls.Sources) -> str:
        url = str(getattr(self, name))
        url = url if url.startswith("{") else urls.join(self.site, url)
        hide_paths_in_logs(answer_urls.path_before_secrets(url))
        return answer_urls.complete(name, url, sources, self.answer_domains)

    @functools.cached_property
    def reads_callback(self) -> bool:
        """True if a request needs further parameters of the authorization response."""
        return bool(
            self.kept_from_callback or answer_urls.places_in(self.token_params.values(), "callback")
        )

    @functools.cached_property
    def kept_from_callback(self) -> frozenset[str]:
        """The names of the parameters of the authorization response that later requests need."""
        later = ("token_url", "refresh_url", "userinfo_url", "email_url", "api_url")
        texts = [*(getattr(self, name) for name in later), *self.refresh_params.values()]
        return frozenset(answer_urls.places_in(texts, "callback"))

    def check_answer_urls(self) -> None:
        """Check the URLs that answers complete.

        :raises ConfigurationError: an answer can't complete one, or could lead it to any host.
        """
        fixed = ("authorization_url", "revoke_url", "par_url", "device_authorization_url")
        names = {*answer_urls.SOURCES_OF, *fixed}
        for name in names:
            url = getattr(self, name) or ""
            if answer_urls.has_places(url):
                answer_urls.check_url(name, url, self.answer_domains)

    def resource_server_for(self, find_token: t.Callable[[], Token]) -> ResourceServer:
        """Return what a session with a token needs to know of the provider's API.

        :param find_token: called if ``api_url`` has values of the provider's answers.
        :raises OAuth2Error: an answer lacks a value, or has one that is not allowed.
        """
        if not answer_urls.has_places(self.api_url):
            return self.resource_server
        url = self._complete("api_url", sources_of(find_token()))
        origins = frozenset(filter(None, map(urls.origin, (url, *self.api_origins))))
        return dataclasses.replace(self.resource_server, base_url=url, origins=origins)

    def secure_endpoint(self, name: str) -> str:
        """Return the absolute URL of an endpoint that receives secrets.

        :raises ConfigurationError: it is neither https nor on this machine nor in ``http_hosts``.
        """
        url = self.endpoint(name)
        given = (url, self.http_hosts)
        if self._found_secure.get(name) != given:
            urls.require_https(url, name, self.http_hosts)
            self._found_secure[name] = given
        return url

    def has_endpoint(self, name: str) -> bool:
        """Return True if the provider has this endpoint."""
        given = getattr(self, name)
        is_absolute = bool(given) and urls.is_absolute(urls.join(self.site, given))
        return is_absolute or answer_urls.has_places(given)

    def inner_url(self, url: str) -> str:
        """Return the URL by which this server itself reaches a URL of the provider."""
        return url

    @property
    def _is_below_issuer(self) -> bool:
        """True if there is no ``api_url``, so relative URLs are appended to an issuer."""
        return False

    @property
    def resource_server(self) -> ResourceServer:
        """What a session needs to know of the provider's API. It is made again if that changes."""
        api_url = urls.join(self.site, self.api_url or "")
        given: tuple[t.Any, ...] = (
            self.inner_url(api_url),
            self._allowed_urls(api_url),
            self.bearer_method,
            self.bearer_scheme,
            self.headers,
            self.http_hosts,
            self.http_options,
            self._is_below_issuer,
            self.nonces,
            self.own_dpop_key,
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


def sources_of(token: Token, userinfo: t.Mapping[str, t.Any] | None = None) -> answer_urls.Sources:
    """Return the answers that complete URLs: the token, and what is kept in it of the others."""
    kept = {name: token.get(name) for name in ("callback", "userinfo")}
    known = {name: each if isinstance(each, t.Mapping) else {} for name, each in kept.items()}
    return {"token": token, **known, **({"userinfo": userinfo} if userinfo else {})}
