"""`OAuth2`: one provider and one client registration. RFC 6749, without Flask."""

from __future__ import annotations

import contextlib
import typing as t

from ..protocol import http, urls
from ..protocol.client_auth import (
    SECRET_AUTHS,
    ClientAuth,
    TokenRequest,
    basic_credentials,
    client_secret_post,
    find_client_auth,
    no_client_auth,
)
from ..protocol.errors import ConfigurationError, OAuth2Error, ProviderAnswerError, TokenError
from ..protocol.http import Answer
from ..protocol.http_options import HTTPOptions, Timeout
from ..protocol.identity import Fields, Identity, check_fields, find_path, make_identity, picks_by
from ..protocol.scope import Scope, split_granted, split_scope
from ..protocol.token import Token, find_refusal, read_object, read_token
from ..protocol.tracebacks import without_locals
from .options import credential, list_of, one_of, origins
from .resource_server import ResourceServer, hide_queries_in_logs
from .session import OAuth2Session


class OAuth2:
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
    :param revoke_url: the revocation endpoint (RFC 7009).
    :param userinfo_url: answers who the token's person is.
    :param api_url: what relative URLs of :meth:`session` are appended to; by default ``site``.
    :param api_origins: more origins that the token may go to (``"https://uploads.example"``).
    :param client_auth: ``"client_secret_post"`` (the default with a secret),
        ``"client_secret_basic"``, ``"none"``, or a function on a :class:`TokenRequest`.
    :param pkce: False for the few providers that break on it (RFC 7636).
    :param scope_separator: what joins scopes, where it is not a space.
    :param scope_aliases: other names by which the provider grants scopes
        (``{"email": "https://provider.example/auth/email"}``).
    :param token_request: ``"form"``, or ``"json"``.
    :param token_path: where the token object is in the answer, as a dotted path.
    :param client_id_param: what this provider calls ``client_id``.
    :param bearer_method: ``"header"``, ``"query"``, or one of them with another name than
        ``Authorization`` or ``access_token``: ``"header:X-Token"``.
    :param bearer_scheme: the word before the token in ``Authorization``.
    :param headers: sent with the provider's every request, API calls included.
    :param authorize_params: added to each authorization request.
    :param token_params: added to each request that redeems a code.
    :param identity: fields of an :class:`Identity` as paths into the answer of ``userinfo_url``,
        such as ``{"id": "user.id"}``; several paths are tried in turn.
    :param userinfo_method: ``"GET"`` or ``"POST"``.
    :param email_url: a second call, for the e-mail address.
    :param email_path: where the address is in its answer; an address that a filter on
        ``verified`` picked (``"[primary,verified].email"``) counts as verified.
    :param response_mode: ``"form_post"`` for a provider that answers by a form.
    :param http_hosts: hosts that may be reached by plain http; loopback always may.
    :param timeout: seconds to connect and seconds between two bytes. One request takes their sum
        at the most, and 30 seconds in all.
    :param verify: as in requests.
    :param cert: as in requests.
    :param proxies: as in requests.
    :param label: what people read on a button; by default the login's name.
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
        *,
        revoke_url: str | None = None,
        userinfo_url: str | None = None,
        api_url: str | None = None,
        api_origins: t.Iterable[str] = (),
        client_auth: str | ClientAuth | None = None,
        pkce: bool = True,
        scope_separator: str = " ",
        scope_aliases: t.Mapping[str, str] | None = None,
        token_request: t.Literal["form", "json"] = "form",
        token_path: str | None = None,
        client_id_param: str = "client_id",
        bearer_method: str = "header",
        bearer_scheme: str = "Bearer",
        headers: t.Mapping[str, str] | None = None,
        authorize_params: t.Mapping[str, t.Any] | None = None,
        token_params: t.Mapping[str, t.Any] | None = None,
        identity: Fields | None = None,
        userinfo_method: str = "GET",
        email_url: str | None = None,
        email_path: str = "email",
        response_mode: t.Literal["form_post"] | None = None,
        http_hosts: t.Iterable[str] = (),
        timeout: Timeout = (5.0, 15.0),
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        proxies: t.Mapping[str, str] | None = None,
        label: str | None = None,
    ) -> None:
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
        self.revoke_url = revoke_url
        self.userinfo_url = userinfo_url
        self.api_url = api_url
        self.api_origins = origins("api_origins", api_origins)
        self.client_auth = find_client_auth(client_auth) if client_auth else None
        self.pkce = pkce
        self.scope_separator = scope_separator
        self.scope_aliases = dict(scope_aliases or {})
        self.token_request = one_of("token_request", token_request, ("form", "json"))
        self.token_path = token_path
        self.client_id_param = client_id_param
        self.bearer_method = bearer_method
        one_of("bearer_method", bearer_method.partition(":")[0], ("header", "query"))
        if bearer_method.startswith("query"):
            hide_queries_in_logs()
        self.bearer_scheme = bearer_scheme
        self.headers = dict(headers or {})
        self.authorize_params = dict(authorize_params or {})
        self.token_params = dict(token_params or {})
        self.identity = check_fields(identity)
        self.userinfo_method = one_of("userinfo_method", userinfo_method, ("GET", "POST"))
        self.email_url = email_url
        self.email_path = email_path
        self.response_mode = one_of("response_mode", response_mode, (None, "query", "form_post"))
        self.http_hosts = frozenset(list_of("http_hosts", http_hosts))
        self.http_options = HTTPOptions(timeout, verify, cert, proxies)
        self.label = label

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
        query: dict[str, t.Any] = {
            "response_type": "code",
            self.client_id_param: self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.join_scope(scopes) or None,
            "response_mode": self.response_mode,
            **fixed,
            **params,
        }
        return urls.add_params(self.endpoint("authorization_url"), query)

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
        if newer is not None:
            said_again = {"expires_in", "expires_at", "id_token"}
            for name, value in token.items():
                if name not in said_again:
                    newer.setdefault(name, value)
        return newer

    def check_issuer(self, iss: str | None) -> None:
        """Check the ``iss`` of an authorization response: no issuer is known to compare it with.

        RFC 9207, section 2.4.
        """

    def split_granted(self, scope: str) -> list[str]:
        """The scopes of a token answer, whatever this provider joins them by."""
        return split_granted(scope, self.scope_separator)

    def missing_scopes(self, scopes: Scope, granted: t.Collection[str]) -> list[str]:
        """Those of ``scopes`` that were not granted, under any of their names."""
        return [
            scope
            for scope in split_scope(scopes)
            if scope not in granted and self.scope_aliases.get(scope) not in granted
        ]

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
        if not isinstance(token, Token):
            self._revoke(token, None, params)
        elif token.refresh_token is None:
            self._revoke(token.access_token, "access_token", params)
        else:
            try:
                self._revoke(token.refresh_token, "refresh_token", params)
            except (TokenError, ProviderAnswerError):
                with contextlib.suppress(OAuth2Error):
                    self._revoke(token.access_token, "access_token", params)
                raise
            # Most providers have already ended the access token with the refresh token. Some then
            # call it unknown, and some never revoke access tokens.
            with contextlib.suppress(TokenError):
                self._revoke(token.access_token, "access_token", params)

    def _revoke(self, token: str, hint: str | None, params: t.Mapping[str, t.Any]) -> None:
        answer = self._send_params(
            "revoke_url", {"token": token, "token_type_hint": hint, **params}
        )
        if 200 <= answer.status < 300:
            return
        if answer.status < 500 and (members := read_object(answer)):
            refusal = find_refusal(members, answer.status, self._secrets({"token": token}))
            if refusal:
                raise refusal
        raise ProviderAnswerError(f"The provider answered {answer.status} to a revocation.")

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
        answer = self.fetch(self.userinfo_method, self.endpoint("userinfo_url"), token)
        if answer.status in {401, 403}:
            raise ProviderAnswerError(
                f"userinfo_url answered with status {answer.status}: does the scope allow it?"
            )
        members = answer.json_object() if 200 <= answer.status < 300 else None
        if members is None:
            raise ProviderAnswerError(
                f"userinfo_url answered with status {answer.status} and no JSON object."
            )
        identity = make_identity(members, fields=self.identity, token=token, claims=claims)
        if self.email_url:
            self._add_email(identity, token)
        return identity

    def _add_email(self, identity: Identity, token: Token) -> None:
        answer = self.fetch("GET", urls.join(self.site, str(self.email_url)), token)
        email = find_path(answer.json(), self.email_path)
        if isinstance(email, str) and 200 <= answer.status < 300:
            identity.email = email
            identity.email_verified = picks_by(self.email_path, "verified")

    @without_locals
    def fetch(self, method: str, url: str, token: Token) -> Answer:
        """Send one bounded request with the token: for the endpoints that say who it is.

        :raises ProviderError: it can't be reached, or is out of order.
        """
        urls.require_https(url, "An endpoint that gets the token", self.http_hosts)
        api = self.resource_server
        answer = http.send(
            self.http_options,
            method,
            url,
            headers={"Accept": "application/json", **self.headers},
            sign=lambda request: api.add_token(request, token),
        )
        answer.require_in_order(url.partition("?")[0])
        return answer

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
        answer = self._send_params("token_url", params)
        return read_token(
            answer,
            token_path=self.token_path,
            token_types={"bearer", self.bearer_scheme.lower()},
            secrets=self._secrets(params),
        )

    def _send_params(self, endpoint: str, params: dict[str, t.Any]) -> Answer:
        """POST parameters to an endpoint that wants to know which client it talks to."""
        request = TokenRequest(
            urls.require_https(self.endpoint(endpoint), endpoint, self.http_hosts),
            {name: value for name, value in params.items() if value is not None},
            self.client_id,
            self.client_secret,
            self.client_id_param,
            {"Accept": "application/json", **self.headers},
        )
        self._client_auth()(request)
        as_json = self.token_request == "json"
        return http.send(
            self.http_options,
            "POST",
            request.url,
            headers=request.headers,
            cert=request.cert,
            json=request.params if as_json else None,
            data=None if as_json else request.params,
        )

    def _client_auth(self) -> ClientAuth:
        if not self.client_secret and self.client_auth in {None, *SECRET_AUTHS}:
            return no_client_auth
        return self.client_auth or client_secret_post

    def _secrets(self, params: t.Mapping[str, t.Any]) -> list[str]:
        """What must not be told, should the provider quote the request."""
        names = ("code", "code_verifier", "refresh_token", "token")
        sent = [params.get(name) for name in names]
        if self.client_secret:
            basic = basic_credentials(self.client_id, self.client_secret)
            sent += [self.client_secret, basic]
        return [secret for secret in sent if isinstance(secret, str)]
