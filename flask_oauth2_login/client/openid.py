"""`OpenIDConnect`: a handler that finds its endpoints, and validates who signed in."""

from __future__ import annotations

import functools
import logging
import typing as t
from urllib.parse import urlsplit

from ..protocol import authorization, discovery, http, urls
from ..protocol.algorithms import HMACS, KINDS
from ..protocol.cache import Cache
from ..protocol.client_auth import ClientAuth, client_secret_basic, client_secret_post
from ..protocol.discovery import ENDPOINTS
from ..protocol.errors import (
    ConfigurationError,
    IDTokenError,
    OAuth2Error,
    ProviderAnswerError,
    ProviderError,
)
from ..protocol.identity import Identity, make_identity
from ..protocol.scope import split_scope
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from . import userinfo
from .oauth2 import OAuth2
from .options import HandlerOptions, list_of, one_of
from .revocation import revoke

if t.TYPE_CHECKING:
    from ..protocol.id_token import Verifier

log = logging.getLogger("flask_oauth2_login")

#: The claims that a scope is asked for (Core, section 5.4), as far as an identity has them.
SCOPE_CLAIMS = {"profile": ("name", "picture"), "email": ("email",)}


class OpenIDConnect(OAuth2):
    """A provider that knows OpenID Connect, and one client registration there.

    .. code-block:: python

        sso = OpenIDConnect(client_id, client_secret, "https://sso.example.com/realms/staff")

    Its endpoints come from the provider's metadata, fetched on first use and kept for a day. ID
    tokens are validated: OpenID Connect Core 1.0, section 3.1.3.7.

    :param issuer: as the provider writes it, character by character.
    :param metadata: the whole document, if it is not to be fetched.
    :param authorization_url: in place of the metadata's; so are ``token_url``, ``userinfo_url``,
        ``revoke_url``, ``jwks_url`` and ``end_session_url``.
    :param algorithms: of ID tokens' signatures; by default the asymmetric ones of the metadata.
        HMAC, with the client secret, only where it is named here.
    :param trusted_audiences: others that an ID token may be for, beside this client.
    :param options: those of :class:`OAuth2`.
    """

    openid: t.ClassVar[bool] = True

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        issuer: str,
        redirect_uri: str | None = None,
        *,
        metadata: t.Mapping[str, t.Any] | None = None,
        authorization_url: str = "",
        token_url: str = "",
        jwks_url: str | None = None,
        end_session_url: str | None = None,
        algorithms: t.Iterable[str] | None = None,
        trusted_audiences: t.Iterable[str] = (),
        **options: t.Unpack[HandlerOptions],
    ) -> None:
        super().__init__(
            client_id, client_secret, issuer, redirect_uri, authorization_url, token_url, **options
        )
        parts = urlsplit(issuer)
        if not urls.is_secure_url(issuer, self.http_hosts) or parts.query or parts.fragment:
            raise ConfigurationError(
                f"issuer={issuer!r} is not an https URL without a query (http for this machine, or"
                " a host named in http_hosts). Copy it from the provider's metadata."
            )
        self.issuer = issuer
        self.jwks_url = jwks_url
        self.end_session_url = end_session_url
        self.algorithms = None if algorithms is None else tuple(list_of("algorithms", algorithms))
        for algorithm in () if self.algorithms is None else self.algorithms or [None]:
            one_of("algorithms", algorithm, known=(*KINDS, *HMACS))
        self.trusted_audiences = frozenset(list_of("trusted_audiences", trusted_audiences))
        fetch = functools.partial(self._fetch_metadata, metadata)
        if metadata is not None:
            discovery.check_given(metadata, issuer, self.http_hosts)
        self._metadata = Cache(fetch, remember_failure=discovery.REMEMBER_FAILURE)

    def __repr__(self) -> str:
        return f"<OpenIDConnect {self.client_id!r} at {self.issuer!r}>"

    @property
    def registration(self) -> tuple[str, ...]:
        """A key for this provider and client, made without a request to the provider."""
        return (self.issuer, self.client_id)

    # -- metadata

    @property
    def metadata(self) -> t.Mapping[str, t.Any]:
        """The provider's metadata.

        :raises ProviderError: it can't be had, or is not one to trust.
        """
        return self._metadata.get()

    def endpoint(self, name: str) -> str:
        given = getattr(self, name)
        url = urls.join(self.site, given) if given else self.metadata.get(ENDPOINTS[name])
        if not url:
            raise ProviderAnswerError(f"The metadata of {self.issuer} has no {ENDPOINTS[name]}.")
        return str(url)

    def has_endpoint(self, name: str) -> bool:
        return bool(getattr(self, name) or self.metadata.get(ENDPOINTS[name]))

    def check_issuer(self, iss: str | None) -> None:
        """Check the ``iss`` of an authorization response: RFC 9207, section 2.4.

        :raises AuthorizationError: it is another's, or missing though the provider promised it.
        """
        authorization.check_issuer(iss, self.issuer, self.metadata)

    def _fetch_metadata(self, given: t.Mapping[str, t.Any] | None) -> t.Mapping[str, t.Any]:
        if given is not None:
            return given
        return discovery.fetch_metadata(self.http_options, self.issuer, self.http_hosts)

    def _client_auth(self) -> ClientAuth:
        """The method that the provider names; Core, section 9: Basic, if it names none."""
        if self.client_auth is not None or not self.client_secret:
            return super()._client_auth()
        methods = self.metadata.get("token_endpoint_auth_methods_supported")
        if not isinstance(methods, list) or "client_secret_basic" in methods:
            return client_secret_basic
        return client_secret_post

    # -- ID tokens

    @without_locals
    def get_token(
        self,
        code: str,
        *,
        nonce: str | None = None,
        max_age: t.Any = None,
        acr_values: t.Any = None,
        **params: t.Any,
    ) -> Token | None:
        """Redeem a code, and validate the ID token that comes with it.

        :param nonce: what the authorization request sent.
        :param max_age: seconds, where the request demanded a recent sign-in.
        :param acr_values: where it demanded one of these.
        :returns: the token, with ``identity`` and ``id_claims``; see :meth:`OAuth2.get_token`.
        :raises IDTokenError: the ID token is missing or not valid. The tokens that came with it
            are revoked, if the provider can.
        """
        token = super().get_token(code, **params)
        if token is None:
            return None
        try:
            if "id_token" not in token:
                raise IDTokenError("the answer has none")
            from ..protocol.id_token import validate_id_token

            token.id_claims = validate_id_token(
                token["id_token"],
                self._verifier(),
                nonce=nonce,
                max_age=max_age,
                acr_values=acr_values,
                access_token=token.access_token,
                code=code,
            )
        except OAuth2Error:
            revoke((self, token))
            raise
        token.identity = make_identity(token.id_claims, fields=self.identity, token=token)
        return token

    @without_locals
    def renew(self, token: Token, id_claims: t.Mapping[str, t.Any] | None = None) -> Token | None:
        """As :meth:`OAuth2.renew`; an ID token in the answer must be the same person's.

        Core, section 12.2.

        :raises IDTokenError: it is not. The new token is revoked, if the provider can.
        """
        newer = super().renew(token, id_claims)
        if newer is not None and "id_token" in newer:
            try:
                newer.id_claims = self._read_refreshed(newer, id_claims or {})
            except IDTokenError:
                revoke((self, newer))
                raise
        return newer

    def _read_refreshed(self, newer: Token, id_claims: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        from ..protocol.id_token import read_refreshed, validate_refreshed

        id_token = newer["id_token"]
        try:
            return validate_refreshed(id_token, self._verifier(), id_claims, newer.access_token)
        except ProviderError as error:
            # The old refresh token is used up, so rejecting the new one would end the login. TLS to
            # the token endpoint may replace the signature check (Core, section 3.1.3.7, point 6).
            # The claims are still checked.
            log.warning("A renewed ID token is accepted without checking its signature: %s", error)
            return read_refreshed(id_token, id_claims)

    @without_locals
    def fetch_identity(
        self, token: Token, claims: t.Iterable[str] = (), scopes: t.Iterable[str] = ()
    ) -> Identity:
        """Who signed in, by the ID token; by UserInfo what is wanted and not in it.

        :param claims: names of claims to keep.
        :param scopes: what was granted: it tells which claims to want.
        :raises IDTokenError: UserInfo is about somebody else.
        :raises ProviderError: UserInfo is needed, and can't be had.
        """
        known = dict(token.id_claims or {})
        granted = split_scope(token.get("scope")) or list(scopes)
        wanted = [*claims, *(name for scope in granted for name in SCOPE_CLAIMS.get(scope, ()))]
        if any(name not in known for name in wanted) and self.has_endpoint("userinfo_url"):
            url = self.endpoint("userinfo_url")
            known = userinfo.merge_claims(
                known,
                userinfo.fetch_claims(
                    self.resource_server, self.userinfo_method, url, token, self._verifier
                ),
            )
        return make_identity(known, fields=self.identity, token=token, claims=claims)

    @without_locals
    def validate_logout_token(self, logout_token: str) -> dict[str, t.Any]:
        """The claims of a back-channel logout token; its ``jti`` is the caller's to remember.

        Back-Channel Logout 1.0, section 2.6.

        :returns: the claims, which always include ``exp``.
        :raises IDTokenError: it is not one to act on.
        :raises ProviderError: the provider's keys can't be had.
        """
        from ..protocol.id_token import validate_logout_token

        return validate_logout_token(logout_token, self._verifier())

    def preload(self) -> None:
        """Import what validation needs now, not in the first visitor's request."""
        from ..protocol import id_token  # noqa: F401

    @functools.cached_property
    def _keys(self) -> t.Any:
        from ..protocol.jwks import Keys

        return Keys(self._fetch_keys)

    def _fetch_keys(self) -> list[t.Any]:
        url = urls.require_https(self.endpoint("jwks_url"), "jwks_url", self.http_hosts)
        response = http.send(self.http_options, "GET", url, headers={"Accept": "application/json"})
        response.require_in_order(url)
        document = response.json_object() if response.status == 200 else None
        keys = document.get("keys") if document is not None else None
        if not isinstance(keys, list):
            raise ProviderAnswerError(
                f"{url} answered with status {response.status} and no key set: is jwks_url right?"
            )
        return keys

    def _verifier(self) -> Verifier:
        from ..protocol.id_token import Verifier

        document = self.metadata
        algorithms: t.Any = self.algorithms
        if algorithms is None:
            algorithms = document.get("id_token_signing_alg_values_supported")
            listed = algorithms if isinstance(algorithms, list) else []
            known = [alg for alg in listed if isinstance(alg, str) and alg in KINDS]
            algorithms = known or ["RS256"]
        return Verifier(
            self._keys,
            list(algorithms),
            self.client_id,
            self.client_secret,
            self.trusted_audiences,
            lambda iss, claims: discovery.is_issuer(iss, claims, document, self.issuer),
        )
