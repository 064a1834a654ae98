"""`OAuth2`: one provider and one client registration. RFC 6749, without Flask."""

from __future__ import annotations

import typing as t

from ..protocol import authorization, urls
from ..protocol.client_auth import (
    SECRET_AUTHS,
    ClientAuth,
    TokenRequest,
    client_secret_post,
    no_client_auth,
)
from ..protocol.errors import ConfigurationError
from ..protocol.http_options import HTTPOptions
from ..protocol.identity import Identity, make_identity
from ..protocol.revocation import revoke, revoke_both
from ..protocol.scope import Scope, missing_scopes, split_granted, split_scope
from ..protocol.token import Token, fill_in
from ..protocol.token_request import request_token
from ..protocol.tracebacks import without_locals
from . import userinfo
from .options import HandlerOptions, Options, credential, refuse_unknown
from .resource_server import ResourceServer, hide_queries_in_logs
from .session import OAuth2Session


class OAuth2(Options):
    """One provider, and one client registration there.

    .. code-block:: python

        github = OAuth2(client_id, client_secret, "https://github.com/login/",
                        "https://app.example/callback", token_url="oauth/access_token")
        redirect(github.authorize_url("read:user", state=state))
        token = github.get_token(request.args["code"])
        github.session(token).get("https://github.com/…")

    It makes no ``state``, PKCE or nonce by itself: ``OAuth2Login`` does that.

    :param client_id: as registered with the provider.
    :param client_secret: likewise; None or ``""`` for a public client.
    :param site: what endpoint paths are appended to. May be empty, and may be assigned later,
        between consent and token too (where each customer has a host of his own).
    :param redirect_uri: where the provider sends the browser back to, as registered.
    :param authorization_url: the authorization endpoint: a path, or an absolute URL.
    :param token_url: the token endpoint, likewise; so are the next two.
    :param options: see :class:`~flask_oauth2_login.client.options.Options`, and
        ``docs/configuration.md``.
    :raises ConfigurationError: a parameter or an option can't be meant.
    :raises TypeError: there is no option of that name.
    """

    #: Whether ID tokens come back, and answer to a nonce.
    openid: t.ClassVar[bool] = False

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        site: str = "",
        redirect_uri: str | None = None,
        authorization_url: str = "oauth/authorize",
        token_url: str = "oauth/token",
        **options: t.Unpack[HandlerOptions],
    ) -> None:
        refuse_unknown(type(self), options)
        self.client_id = credential("client_id", client_id)
        self.client_secret = credential("client_secret", client_secret) if client_secret else None
        self.site = site
        self.redirect_uri = redirect_uri
        if redirect_uri and not urls.is_absolute(redirect_uri):
            raise ConfigurationError(
                f"redirect_uri={redirect_uri!r} is no absolute URL: write it as it is registered,"
                " https://<host>/callback."
            )
        self.authorization_url = authorization_url
        self.token_url = token_url
        super().__init__(**t.cast("dict[str, t.Any]", options))
        if self.bearer_method.startswith("query"):
            hide_queries_in_logs()
        self.http_options = HTTPOptions(self.timeout, self.verify, self.cert, self.proxies)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client_id!r} at {self.site or self.token_url!r}>"

    @property
    def registration(self) -> tuple[str, ...]:
        """A key for this provider and client, made without a request to the provider."""
        endpoints = (urls.join(self.site, url) for url in (self.authorization_url, self.token_url))
        return (*endpoints, self.client_id)

    # -- the authorization request: RFC 6749, section 4.1.1

    def authorize_url(self, /, scope: Scope = "", **params: t.Any) -> str:
        """The URL to send the person to.

        :param scope: a string of scopes separated by spaces, or an iterable of them.
        :param params: added to the query, in place of defaults (``response_type="code"``); None
            takes a default away.
        """
        fixed = dict(self.authorize_params)
        scopes = [*split_scope(scope), *split_scope(fixed.pop("scope", None))]
        return authorization.authorization_request(
            self.endpoint("authorization_url"),
            self.client_id,
            self.redirect_uri,
            self.join_scope(scopes),
            {"response_mode": self.response_mode, **fixed, **params},
            client_id_param=self.client_id_param,
        )

    def join_scope(self, scope: Scope) -> str:
        """Scopes as this provider wants them, each once."""
        return self.scope_separator.join(split_scope(scope))

    # -- grants: RFC 6749, sections 4.1.3, 6 and 4.4

    @without_locals
    def get_token(self, /, code: str, **params: t.Any) -> Token | None:
        """Redeem a code. It is sent once, whatever happens.

        :param code: from the provider's answer.
        :param params: added to the request, in place of defaults: ``code_verifier``, and
            ``redirect_uri`` where it is not the handler's.
        :returns: the token, or None where the provider answered with success and no content.
        :raises TokenError: the provider refused.
        :raises ProviderError: it can't be reached, or its answer is neither.
        """
        query = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            **self.token_params,
            **params,
        }
        return self._request_token(query)

    @without_locals
    def refresh_token(self, /, refresh_token: Token | str | None, **params: t.Any) -> Token | None:
        """Trade a refresh token for a new token, which keeps it where the provider sent no other.

        :param refresh_token: the refresh token, or a :class:`Token` that has one.
        :param params: added to the request.
        :returns: see :meth:`get_token`; so are the errors.
        """
        if isinstance(refresh_token, Token):
            refresh_token = refresh_token.refresh_token
        if not refresh_token:
            raise ConfigurationError(
                "There is no refresh token to send: ask for one when signing in (many providers"
                " want the scope offline_access, or access_type='offline')."
            )
        query = {"grant_type": "refresh_token", "refresh_token": refresh_token, **params}
        token = self._request_token(query)
        if token is not None:
            token.setdefault("refresh_token", refresh_token)
        return token

    @without_locals
    def renew(
        self,
        token: Token,
        id_claims: t.Mapping[str, t.Any] | None = None,  # noqa: ARG002
    ) -> Token | None:
        """Trade a token for a newer one that has what the provider does not say again.

        :param id_claims: those of the ID token of the sign-in, to compare another one with.
        :returns: see :meth:`get_token`; so are the errors.
        """
        newer = self.refresh_token(token)
        return None if newer is None else fill_in(newer, token)

    def check_issuer(self, iss: str | None) -> None:
        """Check the ``iss`` of an authorization response: no issuer is known to compare it with.

        RFC 9207, section 2.4.
        """

    def split_granted(self, scope: str) -> list[str]:
        """The scopes of a token answer, whatever this provider joins them by."""
        return split_granted(scope, self.scope_separator)

    def missing_scopes(self, scopes: Scope, granted: t.Collection[str]) -> list[str]:
        """Those of ``scopes`` that were not granted, under any of their names."""
        return missing_scopes(scopes, granted, self.scope_aliases)

    @without_locals
    def client_token(self, /, scope: Scope = "", **params: t.Any) -> Token | None:
        """A token for the app itself, by the client credentials grant.

        :param scope: as for :meth:`authorize_url`.
        :param params: added to the request.
        :returns: see :meth:`get_token`; so are the errors.
        """
        scopes = self.join_scope(scope) or None
        return self._request_token({"grant_type": "client_credentials", "scope": scopes, **params})

    @without_locals
    def revoke_token(self, /, token: Token | str, **params: t.Any) -> None:
        """Tell the provider that a token is not needed any more: RFC 7009.

        :param token: a :class:`Token`, or one token as a string. The refresh token and the access
            token of a :class:`Token` are revoked by a request each, because section 2.1 only
            requires the provider to end the token that is sent.
        :param params: added to each request.
        :raises ConfigurationError: this provider has no ``revoke_url``.
        :raises TokenError: the provider refused. If it refuses the refresh token, the access token
            is sent nevertheless. If it refuses only the access token, that is not an error.
        :raises ProviderError: the provider can't be reached, or its answer can't be understood.
        """
        if not self.has_endpoint("revoke_url"):
            raise ConfigurationError(f"{self!r} has no revoke_url: give it one, or don't revoke.")

        def revoke_one(value: str, hint: str | None = None) -> None:
            members = {"token": value, "token_type_hint": hint, **params}
            request = self._make_request("revoke_url", members)
            as_json = self.token_request == "json"
            revoke(self.http_options, request, self._client_auth(), as_json=as_json)

        if isinstance(token, Token):
            revoke_both(token, revoke_one)
        else:
            revoke_one(token)

    # -- who it is

    @without_locals
    def fetch_identity(
        self,
        token: Token,
        claims: t.Iterable[str] = (),
        scopes: t.Iterable[str] = (),  # noqa: ARG002
    ) -> Identity | None:
        """Ask the provider who the token's person is.

        :param claims: names of members of the answer to keep in ``claims``.
        :param scopes: what was asked for, where the token does not say what was granted.
        :returns: an identity without a provider's name, or None without a ``userinfo_url``.
        :raises ProviderError: the provider can't be reached, or does not say who it is.
        """
        if not self.has_endpoint("userinfo_url"):
            return None
        api, url = self.resource_server, self.endpoint("userinfo_url")
        members = userinfo.fetch_userinfo(api, self.userinfo_method, url, token)
        identity = make_identity(members, fields=self.identity, token=token, claims=claims)
        if self.email_url:
            email_url = urls.join(self.site, self.email_url)
            userinfo.add_email(identity, api, email_url, self.email_path, token)
        return identity

    # -- the API

    def session(self, token: t.Mapping[str, t.Any] | None) -> OAuth2Session:
        """A `requests.Session` that sends the token with every request, to this provider only.

        .. code-block:: python

            github.session(token).get("/user").json()
        """
        if not (isinstance(token, t.Mapping) and token.get("access_token")):
            raise ConfigurationError(
                "session(token) needs the token that get_token returned; None means that the"
                " provider gave none."
            )
        known = token if isinstance(token, Token) else Token(token)
        return OAuth2Session(
            self.resource_server, lambda rejected, _again: known if rejected is None else None
        )

    @property
    def resource_server(self) -> ResourceServer:
        """What a session has to know of this provider."""
        base = self.api_url if self.api_url is not None else self.site
        return ResourceServer(
            base_url=urls.join(self.site, base),
            origins=self._api_origins() | self.api_origins,
            bearer_method=self.bearer_method,
            bearer_scheme=self.bearer_scheme,
            headers=self.headers,
            http_hosts=self.http_hosts,
            http_options=self.http_options,
        )

    def _api_origins(self) -> frozenset[str]:
        """The origin of ``api_url``; without one, those of the site and the endpoints."""
        if self.api_url:
            return frozenset({urls.origin(urls.join(self.site, self.api_url))})
        names = ("authorization_url", "token_url", "userinfo_url")
        endpoints = (self.endpoint(name) for name in names if self.has_endpoint(name))
        return frozenset(filter(None, map(urls.origin, (self.site, *endpoints))))

    # -- requests to the provider

    def endpoint(self, name: str) -> str:
        """The absolute URL of an endpoint: ``"token_url"``, ``"authorization_url"``, …

        :raises ConfigurationError: it has none, or a path and no ``site``.
        """
        url = urls.join(self.site, getattr(self, name) or "")
        if not urls.is_absolute(url):
            raise ConfigurationError(
                f"{name}={getattr(self, name)!r} has no host: give {type(self).__name__} a site,"
                " or make it an absolute URL."
            )
        return url

    def preload(self) -> None:
        """Load what a sign-in needs now, not in the first visitor's request."""

    def has_endpoint(self, name: str) -> bool:
        """Whether the provider has this endpoint."""
        given = getattr(self, name)
        return bool(given) and urls.is_absolute(urls.join(self.site, given))

    def _request_token(self, params: dict[str, t.Any]) -> Token | None:
        return request_token(
            self.http_options,
            self._make_request("token_url", params),
            self._client_auth(),
            as_json=self.token_request == "json",
            token_path=self.token_path,
            token_types={"bearer", self.bearer_scheme.lower()},
        )

    def _make_request(self, endpoint: str, params: t.Mapping[str, t.Any]) -> TokenRequest:
        return TokenRequest(
            urls.require_https(self.endpoint(endpoint), endpoint, self.http_hosts),
            {name: value for name, value in params.items() if value is not None},
            self.client_id,
            self.client_secret,
            self.client_id_param,
            {"Accept": "application/json", **self.headers},
        )

    def _client_auth(self) -> ClientAuth:
        if not self.client_secret and self.client_auth in {None, *SECRET_AUTHS}:
            return no_client_auth
        return self.client_auth or client_secret_post
