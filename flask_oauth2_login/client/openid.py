"""`OpenIDConnect`: a provider with metadata and ID tokens. OpenID Connect Core 1.0."""

from __future__ import annotations

import dataclasses
import logging
import typing as t

from ..protocol.algorithms import FAPI_ALGORITHMS, HMACS, KINDS
from ..protocol.errors import (
    IDTokenError,
    OAuth2Error,
    ProviderAnswerError,
    ProviderError,
    UnusableIDTokenError,
)
from ..protocol.identity import Identity, make_identity
from ..protocol.leeway import LEEWAY, check_leeway
from ..protocol.roles import ACCESS_TOKEN, ID_TOKEN, NO_ROLES, USERINFO, RoleRules
from ..protocol.scope import split_scope
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from . import userinfo
from .access_token_claims import AccessTokenClaims
from .client_registration import ClientRegistration
from .endpoints import sources_of
from .option_values import dict_of, flag, list_of, one_of, optional_text
from .options import HandlerOptions
from .refreshed_id_tokens import RefreshedIDTokens
from .revocation import revoke

#: The claims that a scope requests (Core, section 5.4), as far as an identity has them.
SCOPE_CLAIMS = {"profile": ("name", "picture"), "email": ("email",)}

log = logging.getLogger("flask_oauth2_login")


class OpenIDConnect(ClientRegistration):
    """A provider with OpenID Connect, and one client that is registered there.

    .. code-block:: python

        sso = OpenIDConnect(client_id, client_secret, "https://sso.example.com/realms/staff")

    The endpoints come from the provider's metadata (OpenID Connect Discovery 1.0, RFC 8414), which
    is fetched on first use and kept for a day, unless ``authorization_url``, ``token_url`` and
    ``jwks_url`` are given. ID tokens are validated: OpenID Connect Core 1.0,
    section 3.1.3.7.

    :param client_id: the client's identifier, as it is registered with the provider.
    :param client_secret: the client's secret; None or ``""`` for a public client, and for one that
        authenticates by its ``private_key`` or its certificate.
    :param issuer: the provider's issuer, exactly as the provider writes it.
    :param redirect_uri: the URL that the provider sends the browser back to, as it is registered.
    :param metadata: the whole metadata document. It is not fetched then.
    :param authorization_url: the authorization endpoint, in place of the metadata's.
    :param token_url: the token endpoint, in place of the metadata's.
    :param jwks_url: the URL of the key set, in place of the metadata's.
    :param end_session_url: the endpoint for signing out at the provider (RP-Initiated Logout 1.0),
        in place of the metadata's.
    :param logout_params: further parameters of the request to that endpoint, such as
        ``{"logout_uri": "https://app.example/"}``. None removes a default.
    :param algorithms: the accepted signature algorithms of ID tokens. By default they are the
        asymmetric ones of the metadata. HMAC with the client secret must be named here.
    :param trusted_audiences: clients that an ID token may name in ``aud`` beside this one.
    :param leeway: how many seconds the provider's clock may differ from this machine's.
    :param numeric_sub: accept a ``sub`` that is a number, as text.
    :param nonce: False sends no nonce, for a provider that does not put it into the ID token.
    :param decryption_key: the private key that encrypted ID tokens, UserInfo and logout tokens are
        decrypted with, as PEM, JWK or JWK set, or the path of a file with one; several as a list.
        Tokens that are signed and not encrypted are accepted too.
    :param options: the options of :class:`OAuth2`. ``userinfo_url`` and ``revoke_url`` are used in
        place of the metadata's.
    :raises ConfigurationError: a parameter or an option is wrong. The text says how to correct it.
    :raises TypeError: there is no option of that name.
    """

    openid: t.ClassVar[bool] = True
    needed: t.ClassVar[tuple[str, ...]] = ("authorization_url", "token_url", "jwks_url")
    issuer: str

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
        logout_params: t.Mapping[str, str | None] | None = None,
        algorithms: t.Iterable[str] | None = None,
        trusted_audiences: t.Iterable[str] = (),
        leeway: float = LEEWAY,
        numeric_sub: bool = False,
        nonce: bool = True,
        decryption_key: t.Any = None,
        **options: t.Unpack[HandlerOptions],
    ) -> None:
        # Set first, because they may make it unnecessary to fetch the metadata.
        self.jwks_url = optional_text("jwks_url", jwks_url)
        self.end_session_url = optional_text("end_session_url", end_session_url)
        self.logout_params = dict_of("logout_params", logout_params)
        super().__init__(
            client_id,
            client_secret,
            issuer,
            redirect_uri,
            authorization_url,
            token_url,
            issuer=issuer,
            metadata=metadata,
            **options,
        )
        self.algorithms = None if algorithms is None else tuple(list_of("algorithms", algorithms))
        for algorithm in () if self.algorithms is None else self.algorithms or [None]:
            known = (*KINDS, *HMACS) if self.profile is None else FAPI_ALGORITHMS
            one_of("algorithms", algorithm, known=known)
        self.trusted_audiences = frozenset(list_of("trusted_audiences", trusted_audiences))
        self.leeway = check_leeway(leeway)
        self.numeric_sub = flag("numeric_sub", numeric_sub)
        self._refreshed = RefreshedIDTokens(repr(self))
        self._access_tokens = AccessTokenClaims(repr(self))
        self.uses_nonce = flag("nonce", nonce)
        if decryption_key is not None:
            from ..protocol.encryption import read_decryption_keys

            taken = {key.kid for key in self.private_key}
            self.decryption_keys = read_decryption_keys("decryption_key", decryption_key, taken)
        self._unsent = userinfo.UnsentClaims()

    def __repr__(self) -> str:
        return f"<OpenIDConnect {self.client_id!r} at {self.issuer!r}>"

    # -- ID tokens

    @without_locals
    def get_token(
        self,
        code: str,
        *,
        nonce: str | None = None,
        max_age: t.Any = None,
        acr_values: t.Any = None,
        since_request: float | None = None,
        **params: t.Any,
    ) -> Token | None:
        """Exchange a code for a token, and validate the ID token: Core, section 3.1.3.

        :param code: the ``code`` of the authorization response.
        :param nonce: the nonce of the authorization request, or None if it had none.
        :param max_age: the most seconds since the person signed in, if the request had ``max_age``.
        :param acr_values: the allowed values of ``acr``, if the request had them.
        :param since_request: the seconds since the authorization request, to compare ``max_age``
            exactly.
        :param params: more parameters, such as ``code_verifier`` (RFC 7636). They replace defaults
            of the same name, such as ``redirect_uri``.
        :returns: the token with its ``identity`` and ``id_claims``, or None if the response is a
            success without content.
        :raises IDTokenError: the ID token is missing, or a check failed. The tokens of the response
            are then revoked, if the provider has a revocation endpoint.
        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        token = super().get_token(code, **params)
        if token is None:
            return None
        return self._with_identity(
            token,
            nonce=nonce,
            max_age=max_age,
            acr_values=acr_values,
            since_request=since_request,
            code=code,
        )

    def _with_identity(self, token: Token, **checks: t.Any) -> Token:
        """Validate the ID token of a new token, and add its claims.

        :param checks: what :func:`validate_id_token` is to check.
        """
        try:
            if "id_token" not in token:
                raise UnusableIDTokenError("the token response has no ID token")
            from ..protocol.id_token import validate_id_token

            token["id_token"] = self.decrypt(token["id_token"])
            token.id_claims = validate_id_token(
                token["id_token"],
                self.make_verifier(),
                access_token=token.access_token or None,
                **checks,
            )
        except OAuth2Error:
            revoke((self, token))
            raise
        token.identity = make_identity(token.id_claims, fields=self.identity, token=token)
        return token

    @without_locals
    def renew(self, token: Token, id_claims: t.Mapping[str, t.Any] | None = None) -> Token | None:
        """Refresh a token as :meth:`OAuth2.renew` does, and check a new ID token.

        It must be about the same person, and for this client: Core, section 12.2. If it fails any
        other check, or the provider's keys can't be fetched, it is left out of the new token, and
        the log says why.

        :param token: a token with a refresh token.
        :param id_claims: the claims of the ID token of the sign-in.
        :returns: the new token, with ``id_claims`` if it has a valid ID token; None if the response
            is a success without content.
        :raises IDTokenError: the ID token is about somebody else, from another issuer, or for
            another client. The new token is then revoked, if the provider has a revocation
            endpoint.
        :raises ConfigurationError: the token has no refresh token.
        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        newer = super().renew(token, id_claims)
        if newer is not None and "id_token" in newer:
            try:
                self._refreshed.check(
                    newer, id_claims or {}, self.client_id, self.make_verifier, self.decrypt
                )
            except IDTokenError:
                revoke((self, newer))
                raise
        return newer

    @without_locals
    def fetch_identity(
        self,
        token: Token,
        claims: t.Iterable[str] = (),
        scopes: t.Iterable[str] = (),
        roles: RoleRules = NO_ROLES,
    ) -> Identity:
        """Return who signed in. UserInfo is asked only for claims that the ID token lacks.

        :param token: a token as :meth:`get_token` returns it.
        :param claims: names of claims to keep in ``identity.claims``.
        :param scopes: the requested scopes, for a token that does not name the granted ones.
        :param roles: where to find roles. The token gets them as ``found_roles``.
        :returns: an identity whose ``provider`` is empty.
        :raises IDTokenError: UserInfo is about somebody else, or a check of its signature failed.
        :raises ProviderError: UserInfo fails, and the ID token lacks one of ``claims``, or both
            tokens lack roles that the developer demands. Without such a claim, the ID token alone
            says who it is, and the log says why.
        """
        id_claims = known = dict(token.id_claims or {})
        granted = split_scope(token.get("scope")) or list(scopes)
        self.find_roles(token, id_claims, roles)
        found = token.found_roles or {}
        demanded = [name for name in claims if name not in known]
        demanded += roles.missing(found) if roles.is_demanded else []
        of_scope = [name for scope in granted for name in SCOPE_CLAIMS.get(scope, ())]
        lacking = [name for name in of_scope if name not in known]
        is_reason = any(self._unsent.is_reason(id_claims, name) for name in lacking)
        if (demanded or is_reason) and self.has_endpoint("userinfo_url"):
            api, url = self.resource_server, self.completed("userinfo_url", sources_of(token))
            try:
                if not token.access_token:
                    raise ProviderAnswerError("UserInfo can't be asked without an access token.")
                url = userinfo.add_params(url, self.userinfo_params, token)
                more = userinfo.fetch_claims(
                    api, self.userinfo_method, url, token, self.make_verifier, self.decrypt
                )
            except ProviderError as error:
                # The ID token says who it is. Only what the developer demands is worth a failure.
                if demanded:
                    raise
                log.warning("%r: somebody is signed in by the ID token alone. %s", self, error)
            else:
                known = userinfo.merge_claims(known, more, numeric_sub=self.numeric_sub)
                self._unsent.note(id_claims, more, of_scope)
                token.found_roles = roles.find(more, USERINFO, found)
        if known is id_claims and token.identity is not None:
            # The ID token's, which `get_token` has read already.
            kept = {name: known[name] for name in claims if name in known}
            return dataclasses.replace(token.identity, claims=kept)
        return make_identity(known, fields=self.identity, token=token, claims=claims)

    @without_locals
    def find_roles(self, token: Token, id_claims: t.Mapping[str, t.Any], roles: RoleRules) -> None:
        """Set the roles that a token has in its validated ID token, else in its access token.

        :param id_claims: the claims of the newest ID token of the login.
        """
        found = roles.find(token.id_claims, ID_TOKEN)
        if (missing := roles.missing(found)) and not token.lacks_access_token:
            try:
                access_claims = self._access_tokens.read(
                    token.access_token, id_claims.get("sub"), self.make_verifier, missing
                )
                found = roles.find(access_claims, ACCESS_TOKEN, found)
            except ProviderError:
                token.is_checked = False
        elif missing:
            token.is_checked = False
        token.found_roles = found
