"""Endpoints that come from a provider's metadata: OpenID Connect Discovery 1.0, RFC 8414."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ..protocol import authorization, discovery, urls
from ..protocol.cache import Cache
from ..protocol.discovery import ENDPOINTS
from ..protocol.errors import ConfigurationError, ProviderAnswerError
from .endpoints import Endpoints
from .option_values import dict_of

#: The endpoints that a browser is sent to. All others are reached by the server itself.
OF_BROWSERS = ("authorization_url", "end_session_url")


class MetadataEndpoints(Endpoints):
    """A handler's endpoints: the options', or else those of the metadata, if it has an issuer."""

    #: The provider's issuer, exactly as the provider writes it; None if it has none.
    issuer: str | None = None
    client_secret: str | None
    #: The endpoints that a sign-in needs. If all of them are given, no metadata are fetched.
    needed: t.ClassVar[tuple[str, ...]] = ("authorization_url", "token_url")
    _metadata: Cache[discovery.Document]

    @property
    def _is_below_issuer(self) -> bool:
        return self.issuer is not None and not self.api_url and self.site == self.issuer

    def _is_metadata_needed(self) -> bool:
        """Return True if an endpoint that a sign-in needs is not given."""
        further = {"par_url": self.par, "jwks_url": self.has_signed_responses}
        needed = (*self.needed, *(name for name, is_needed in further.items() if is_needed))
        return not all(getattr(self, name) for name in needed)

    def _set_issuer(self, issuer: str | None, given: t.Mapping[str, t.Any] | None) -> None:
        """Set the issuer, and where the metadata come from.

        :param given: the whole metadata document, if it is not to be fetched.
        :raises ConfigurationError: the issuer or another option is wrong.
        """
        if issuer is None:
            named = {
                "metadata": given is not None,
                "metadata_url": bool(self.metadata_url),
                "internal_url": bool(self.internal_url),
            }
            for name in (name for name, is_given in named.items() if is_given):
                raise ConfigurationError(
                    f"{name} needs an issuer: {type(self).__name__}(issuer=…).", row="issuer"
                )
            return
        base, found, _ = issuer.partition("/.well-known/")
        if found:
            raise ConfigurationError(
                f"issuer={issuer!r} is the address of the metadata. The issuer is what they have as"
                f" 'issuer', mostly {base!r}. If it is another one, name both: issuer=…,"
                " metadata_url=….",
                row="issuer",
            )
        parts = urlsplit(issuer)
        if not urls.is_secure_url(issuer, self.http_hosts) or parts.query or parts.fragment:
            raise ConfigurationError(
                f"issuer={issuer!r} is not an https URL without a query (http only for this machine"
                " or a host named in http_hosts). Copy it from the provider's metadata.",
                row="issuer",
            )
        for name, url in (("metadata_url", self.metadata_url), ("internal_url", self.internal_url)):
            if url and not urls.is_secure_url(url, self.http_hosts):
                raise ConfigurationError(
                    f"{name}={url!r} is not an https URL. If plain http is safe there, as in a"
                    " network of containers, name the host: http_hosts=['keycloak:8080'].",
                    row="insecure-url",
                )
        self.issuer = issuer
        if given is None and not self.metadata_url and not self._is_metadata_needed():
            given = {"issuer": issuer}
        elif given is not None:
            given = dict_of("metadata", given)
            discovery.check_given(given, issuer, self.http_hosts)

        def fetch() -> discovery.Document:
            if given is not None:
                return given
            return discovery.fetch_metadata(
                self.http_options,
                issuer,
                self.http_hosts,
                url=self.metadata_url,
                internal_url=self.internal_url,
                headers=self.headers,
                is_openid="jwks_url" in self.needed,
            )

        self._metadata = Cache(fetch, remember_failure=discovery.REMEMBER_FAILURE)

    @property
    def metadata(self) -> t.Mapping[str, t.Any]:
        """The provider's metadata. It is fetched on first use and once a day.

        Empty if the handler has no issuer; the issuer alone if all endpoints are given that a
        sign-in needs.

        :raises ProviderError: it can't be fetched, or is another issuer's.
        """
        return {} if self.issuer is None else self._metadata.get()

    def endpoint(self, name: str) -> str:
        """Return the absolute URL of an endpoint: the option's, or else the metadata's.

        :param name: the option that may have it, such as ``"token_url"``.
        :raises ConfigurationError: the handler has no issuer, and no such endpoint.
        :raises ProviderError: it is not in the metadata, or the metadata can't be fetched.
        """
        given = getattr(self, name)
        if self.issuer is None:
            return super().endpoint(name)
        url = urls.join(self.site, given) if given else self._in_metadata(name)
        if not url:
            raise ProviderAnswerError(
                f"The metadata of {self.issuer} have no {ENDPOINTS[name]}: give it as {name}=….",
                row="no-endpoint",
            )
        if not self.internal_url:
            return str(url)
        if name not in OF_BROWSERS:
            return self.inner_url(str(url))
        # A provider that names its endpoints as it was asked means its public name here.
        base, parts = self.internal_url.rstrip("/"), urlsplit(self.issuer)
        if not str(url).startswith(f"{base}/"):
            return str(url)
        return f"{parts.scheme}://{parts.netloc}{str(url).removeprefix(base)}"

    def inner_url(self, url: str) -> str:
        if self.issuer is None or not self.internal_url:
            return url
        return urls.replace_origin(url, self.issuer, self.internal_url)

    def has_endpoint(self, name: str) -> bool:
        """Return True if an option or the metadata has this endpoint.

        :raises ProviderError: the metadata can't be fetched.
        """
        if self.issuer is None or name not in ENDPOINTS:
            return super().has_endpoint(name)
        return bool(getattr(self, name) or self._in_metadata(name))

    def _in_metadata(self, name: str) -> t.Any:
        """Return the metadata's endpoint; for a client with a certificate, its alias.

        RFC 8705, section 5: a server may ask for certificates at endpoints of their own only.
        """
        member = ENDPOINTS[name]
        if self.cert is not None and name not in OF_BROWSERS:
            aliases = self.metadata.get(discovery.TLS_ALIASES)
            if isinstance(aliases, t.Mapping) and isinstance(aliases.get(member), str):
                return aliases[member]
        return self.metadata.get(member)

    def check_issuer(self, iss: str | None) -> None:
        """Check the ``iss`` of an authorization response: RFC 9207, section 2.4.

        Without the option ``issuer`` any ``iss`` is accepted.

        :raises AuthorizationError: it names another issuer, or is missing although the metadata
            promises it.
        :raises ProviderError: the metadata can't be fetched.
        """
        if self.issuer is not None:
            required = self.profile is not None
            authorization.check_issuer(iss, self.issuer, self.metadata, is_required=required)
