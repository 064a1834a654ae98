"""`OAuth2`: one provider, and one client registered there. RFC 6749, without Flask."""

from __future__ import annotations

import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError
from ..protocol.identity import Identity, find_path, make_identity
from ..protocol.roles import NO_ROLES, USERINFO, RoleRules
from ..protocol.scope import Scope, missing_scopes, split_granted
from ..protocol.token import Token, fill_in
from ..protocol.tracebacks import without_locals
from . import answer_urls, userinfo
from .endpoints import sources_of
from .option_values import credential, optional_text, redirect_url, text
from .options import HandlerOptions, refuse_unknown
from .profile import apply_profile
from .resource_server import hide_queries_in_logs, usable_token
from .session import OAuth2Session
from .token_exchange import TokenExchange


class OAuth2(TokenExchange):
    """One provider, and one client that is registered there.

    .. code-block:: python

        github = OAuth2(client_id, client_secret, "https://github.com/login/",
                        "https://app.example/callback", token_url="oauth/access_token")
        redirect(github.authorize_url("read:user", state=state))
        token = github.get_token(request.args["code"])
        github.session(token).get("https://github.com/…")

    A handler makes no ``state``, PKCE or nonce by itself: ``OAuth2Login`` does that.

    :param client_id: the client's identifier, as it is registered with the provider.
    :param client_secret: the client's secret; None or ``""`` for a public client, and for one that
        authenticates by its ``private_key`` or its certificate.
    :param site: the URL that paths of endpoints are appended to. It may be empty if all endpoints
        are absolute URLs. It may be assigned later, also between the authorization request and the
        token request, for providers where each customer has a host of its own.
    :param redirect_uri: the URL that the provider sends the browser back to, as it is registered.
    :param authorization_url: the authorization endpoint: a path below ``site``, or an absolute URL.
        By default it is ``oauth/authorize``; with an ``issuer``, that of the metadata.
    :param token_url: the token endpoint: a path below ``site``, or an absolute URL. By default it
        is ``oauth/token``; with an ``issuer``, that of the metadata.
    :param issuer: the provider's issuer, exactly as the provider writes it. The endpoints then come
        from its metadata (RFC 8414), unless both are given, and ``iss`` of the authorization
        response is checked (RFC 9207).
    :param metadata: the whole metadata document of the issuer. It is not fetched then.
    :param options: more endpoints, how requests are sent, and how this provider differs from the
        RFC. :class:`~flask_oauth2_login.client.options.Options` describes each of them.
    :raises ConfigurationError: a parameter or an option is wrong. The text says how to correct it.
    :raises TypeError: there is no option of that name.
    """

    #: True if a sign-in sends a nonce, and the ID token must have it.
    uses_nonce: bool = False

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        site: str = "",
        redirect_uri: str | None = None,
        authorization_url: str | None = None,
        token_url: str | None = None,
        *,
        issuer: str | None = None,
        metadata: t.Mapping[str, t.Any] | None = None,
        **options: t.Unpack[HandlerOptions],
    ) -> None:
        refuse_unknown(type(self), options)
        self.client_id = credential("client_id", client_id)
        self.client_secret = credential("client_secret", client_secret) if client_secret else None
        self.site = optional_text("site", site) or optional_text("issuer", issuer) or ""
        self.redirect_uri = redirect_url(redirect_uri)
        # With an issuer, the defaults are the metadata's.
        defaults = ("oauth/authorize", "oauth/token") if issuer is None else ("", "")
        self.authorization_url = defaults[0] if authorization_url is None else authorization_url
        self.token_url = defaults[1] if token_url is None else token_url
        for name in ("authorization_url", "token_url"):
            text(name, getattr(self, name))
        own = t.cast("dict[str, t.Any]", options)
        if own.get("profile") is not None:
            own = apply_profile(own, self.client_secret, issuer)
        super().__init__(**own)
        if (
            self.bearer_method.startswith("query")
            or self.token_request == "query"
            or userinfo.sends_token_values(self.userinfo_params)
        ):
            hide_queries_in_logs()
        self.check_answer_urls()
        if self.answer_hmac and not self.client_secret:
            raise ConfigurationError("answer_hmac=True needs a secret.", row="options-together")
        self.check_client_auth()
        self._set_issuer(issuer, metadata)
        self._check_requests()
        if self.profile is not None:
            self._check_profile()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client_id!r} at {self.site or self.token_url!r}>"

    @property
    def registration(self) -> tuple[str, ...]:
        """A key that names this provider and client. No request is needed for it."""
        if self.issuer is not None:
            return (self.issuer, self.client_id)
        endpoints = (urls.join(self.site, url) for url in (self.authorization_url, self.token_url))
        return (*endpoints, self.client_id)

    # -- grants: RFC 6749, sections 4.1.3, 6 and 4.4

    @without_locals
    def get_token(
        self,
        /,
        code: str,
        *,
        answer: t.Any = None,
        dpop_key: t.Any = None,
        **params: t.Any,
    ) -> Token | None:
        """Exchange a code for a token: RFC 6749, section 4.1.3. The code is sent only once.

        :param code: the ``code`` of the authorization response.
        :param answer: the other parameters of that response, for a provider whose URLs or
            ``token_params`` need some of them: ``{callback.X}``. What later requests need is kept
            in ``token["callback"]``.
        :param dpop_key: the key that :meth:`authorize_url` was given. By default it is the client's
            own, if the option ``dpop`` has one, or with ``dpop=True`` a new one, which the token
            then carries.
        :param params: more parameters, such as ``code_verifier`` (RFC 7636). They replace defaults
            of the same name, such as ``redirect_uri``.
        :returns: the token, or None if the response is a success without content.
        :raises TokenError: the provider refused. ``error`` is the provider's code, such as
            ``"invalid_grant"``.
        :raises AuthorizationError: ``answer`` lacks a value that is needed, or names a host that
            is not the provider's.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        sources = {"callback": answer or {}}
        query = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            **self._resource_param(),
            **answer_urls.complete_params("token_params", self.token_params, sources),
            **params,
            **({"redirect_uri": self.redirect_name} if self.redirect_name else {}),
        }
        token = self._request_token(query, sources=sources, dpop_key=dpop_key)
        if token is not None and self.kept_from_callback:
            kept = self.kept_from_callback & sources["callback"].keys()
            token["callback"] = {name: sources["callback"][name] for name in kept}
        return token

    @without_locals
    def refresh_token(
        self,
        /,
        refresh_token: Token | str | None,
        *,
        dpop_key: t.Any = None,
        **params: t.Any,
    ) -> Token | None:
        """Exchange a refresh token for a new token: RFC 6749, section 6.

        :param refresh_token: the refresh token, or a :class:`Token` that has one.
        :param dpop_key: the key that a refresh token of a public client is bound to. A
            :class:`Token` has it already.
        :param params: more parameters, such as ``scope``.
        :returns: the new token, or None if the response is a success without content. If the
            provider sends no new refresh token, it has the old one. If the provider sends only a
            new refresh token, it has the access token of the :class:`Token` that was given, and
            ``lacks_access_token`` is True.
        :raises ConfigurationError: there is no refresh token.
        :raises TokenError: the provider refused. ``"invalid_grant"`` means that the refresh token
            is not valid any more.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        former = refresh_token if isinstance(refresh_token, Token) else None
        if former is not None:
            refresh_token, dpop_key = former.refresh_token, dpop_key or former.dpop_key
        if not refresh_token:
            raise ConfigurationError(
                "There is no refresh token to send: request one at sign-in (many providers want"
                " the scope offline_access, or access_type='offline').",
                row="no-refresh-token",
            )
        sources = sources_of(former or Token())
        query = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            **self._resource_param(),
            **answer_urls.complete_params("refresh_params", self.refresh_params, sources),
            **params,
        }
        endpoint = "refresh_url" if self.refresh_url else "token_url"
        token = self._request_token(query, former, endpoint, sources, dpop_key)
        if token is not None:
            token.setdefault("refresh_token", refresh_token)
        return token

    @without_locals
    def renew(
        self,
        token: Token,
        id_claims: t.Mapping[str, t.Any] | None = None,  # noqa: ARG002
    ) -> Token | None:
        """Refresh a token, and keep those of its members that the provider does not send again.

        :param token: a token with a refresh token.
        :param id_claims: the claims of the ID token of the sign-in. :class:`OpenIDConnect`
            compares a new ID token with them.
        :returns: the new token, or None if the response is a success without content.
        :raises ConfigurationError: the token has no refresh token.
        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        newer = self.refresh_token(token)
        return None if newer is None else fill_in(newer, token)

    def split_granted(self, scope: str) -> list[str]:
        """Return the scopes of a token response, however this provider separates them."""
        return split_granted(scope, self.scope_separator)

    def missing_scopes(self, scopes: Scope, granted: t.Collection[str]) -> list[str]:
        """Return those of ``scopes`` that were not granted, also not under an alias."""
        return missing_scopes(scopes, granted, self.scope_aliases)

    @without_locals
    def client_token(self, /, scope: Scope = "", **params: t.Any) -> Token | None:
        """Get a token for the app itself: the client credentials grant, RFC 6749, section 4.4.

        :param scope: scopes as a string with spaces between them, or as an iterable.
        :param params: more parameters, such as ``audience``. They replace defaults.
        :returns: the token, or None if the response is a success without content.
        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        defaults = {"scope": self.join_scope(scope) or None, **self._resource_param()}
        return self._request_token({"grant_type": "client_credentials", **defaults, **params})

    # -- the identity

    @without_locals
    def fetch_identity(
        self,
        token: Token,
        claims: t.Iterable[str] = (),
        scopes: t.Iterable[str] = (),  # noqa: ARG002
        roles: RoleRules = NO_ROLES,
    ) -> Identity | None:
        """Ask ``userinfo_url``, and ``email_url`` if there is one, who the token's person is.

        :param claims: names of members of the response to keep in ``identity.claims``.
        :param scopes: the requested scopes; :class:`OpenIDConnect` uses them.
        :param roles: where to find roles. The token gets them as ``found_roles``.
        :returns: an identity whose ``provider`` is empty; None if there is no ``userinfo_url``, and
            the option ``identity`` does not take the id from the token response.
        :raises ProviderError: the provider can't be reached, or its response does not identify an
            account.
        """
        if not self.has_endpoint("userinfo_url"):
            id_path = (self.identity or {}).get("id", "")
            if not (isinstance(id_path, str) and id_path.startswith("token:")):
                return None
            token.found_roles = roles.find({}, USERINFO, token=token)
            return make_identity({}, fields=self.identity, token=token)
        api, url = self.resource_server, self.completed("userinfo_url", sources_of(token))
        url = userinfo.add_params(url, self.userinfo_params, token)
        body = userinfo.make_body(self.userinfo_query, self.userinfo_form, token)
        members = userinfo.fetch_userinfo(api, self.userinfo_method, url, token, body)
        identity = make_identity(members, fields=self.identity, token=token, claims=claims)
        token.found_roles = roles.find(members, USERINFO, token=token)
        if of_userinfo := answer_urls.places_in([self.api_url], "userinfo"):
            token["userinfo"] = {name: find_path(members, name) for name in of_userinfo}
        if self.email_url:
            email_url = self.inner_url(self.completed("email_url", sources_of(token, members)))
            userinfo.add_email(identity, api, email_url, self.email_path, token)
        return identity

    def find_roles(self, token: Token, id_claims: t.Any, roles: RoleRules) -> None:  # noqa: ARG002
        """Set the roles that a token itself has: none without OpenID Connect."""
        token.found_roles = {}

    # -- the API

    def session(self, token: t.Mapping[str, t.Any] | None) -> OAuth2Session:
        """Return a `requests.Session` that sends the token with every request to this provider.

        .. code-block:: python

            github.session(token).get("/user").json()

        It does not refresh the token. `current_oauth_session` and the sessions of `OAuth2Login` do.

        :param token: the token as :meth:`get_token` returns it, or a mapping with its members.
        :raises ConfigurationError: there is no access token, or it is bound to a key that is
            missing.
        """
        known = usable_token(token, self.own_dpop_key)

        def exchange(url: str, scope: Scope, params: dict[str, str | None]) -> OAuth2Session:
            api = self.resource_server_at(url)
            exchanged = self.exchange_token(known, scope, **{"resource": url, **params})
            return OAuth2Session(api, lambda rejected, _: exchanged if rejected is None else None)

        return OAuth2Session(
            self.resource_server_for(lambda: known),
            lambda rejected, _again: known if rejected is None else None,
            exchange,
        )
