"""`LoginTester`: signs people in, in the tests of an app."""

from __future__ import annotations

import json as json_module
import time
import typing as t

import requests
from flask import Flask, Response, request
from flask.testing import FlaskClient

from .. import views
from ..protocol.errors import ConfigurationError
from ..protocol.identity import Identity
from ..protocol.pkce import make_code_verifier
from ..protocol.roles import ID_TOKEN, FoundRoles
from ..protocol.scope import Scope, split_scope
from ..session.current_login import find_login
from ..session.extension import extension_of
from ..session.registration import Registration
from ..session.request_scope import request_scope
from ..session.tenants import registration_for, require_here, tenant_values
from ..signin import flow
from ..signin.attempt import Attempt
from ..signin.session_setup import linking_owner
from ..web.redirect_uris import redirect_uri
from .canned import REFRESHES, CannedAnswer, CannedProvider, make_token

Refresh = t.Literal["granted", "refused", "unavailable"]


class LoginTester:
    """Signs people in without a provider, and answers in place of its API.

    The fixture ``oauth2_login`` is one.
    """

    def __init__(self, provider: CannedProvider) -> None:
        self._provider = provider

    def sign_in(
        self,
        client: FlaskClient,
        login: str,
        /,
        *,
        id: str | None,
        name: str | None = None,
        email: str | None = None,
        email_verified: bool = False,
        picture: str | None = None,
        claims: t.Mapping[str, t.Any] | None = None,
        roles: t.Iterable[str] = (),
        scope: Scope | None = None,
        auth_time: int | None = None,
        acr: str | None = None,
        expired: bool = False,
        refresh: Refresh | None = "granted",
        link: bool = False,
        next: str | None = None,
        tenant: str | None = None,
    ) -> t.Any:
        """Sign somebody in, as ``/callback`` does after the provider has answered.

        The session is set up, ``on_login`` is called, the record is stored and ``logged_in`` is
        sent. The client is signed in afterwards.

        :param client: the test client that stands for the browser: Flask's or pytest-flask's.
        :param login: the login's name in the app.
        :param id: the account's identifier at the provider, ``identity.id``.
        :param name: ``identity.name``; ``email``, ``email_verified`` and ``picture`` likewise.
        :param claims: ``identity.claims``. The login must ask for each: ``claims=[…]``.
        :param roles: ``identity.roles``, in the app's words. The login must say where they are.
        :param scope: the granted scopes; by default those that the login requests.
        :param auth_time: when the person authenticated at the provider, in Unix seconds, for
            ``max_age``; by default now. Only logins with ID tokens have it, and ``acr``.
        :param acr: how the person authenticated, for ``acr_values``.
        :param expired: True for an access token that has expired. The next API call refreshes it.
        :param refresh: what a refresh gets: ``"granted"``, ``"refused"`` or ``"unavailable"``. None
            for a login without a refresh token.
        :param link: True to add the account to the person who is signed in.
        :param next: the page to go to afterwards.
        :param tenant: the tenant, at a login with tenants. It is not read from the request then.
        :returns: the response, such as a redirect to ``next``, or the one of ``on_login``.
        :raises ConfigurationError: the app has no such login, or the login can't have what is
            asked for.
        """
        roles = list(roles)

        def take(registration: Registration) -> Response:
            openid = registration.handler.openid
            if not openid and (acr is not None or auth_time is not None):
                raise ConfigurationError(
                    f"The login {login!r} has no ID tokens, so it can have no acr and no"
                    " auth_time.",
                    row="no-id-tokens",
                )
            attempt = Attempt(
                code_verifier=make_code_verifier(),
                next=next,
                scopes=list(registration.scopes if scope is None else split_scope(scope)),
                requested={},
                link_owner=linking_owner() if link else None,
                redirect_uri=redirect_uri(registration),
                number=1,
            )
            token = make_token("test-access-token", expired=expired)
            token["scope"] = registration.handler.join_scope(attempt.scopes)
            if refresh is not None:
                token["refresh_token"] = REFRESHES[refresh]
            if openid:
                token.id_claims = _make_id_claims(registration, id, auth_time, acr)
            token.found_roles = _find_roles(registration, roles)
            identity = Identity(
                registration.name,
                id,
                name=name,
                email=email,
                email_verified=email_verified,
                picture=picture,
                tenant=registration.tenant or None,
                claims=_check_claims(registration, claims or {}),
                roles=roles,
            )
            return flow.complete(
                registration, attempt, flow.make_record(registration, attempt, token, identity)
            )

        return _visit(client, login, lambda: views.finish_sign_in(take), tenant)

    def end(
        self,
        client: FlaskClient,
        login: str,
        /,
        *,
        reason: str = "ended",
        tenant: str | None = None,
    ) -> None:
        """End a login without telling the browser, as a sign-out elsewhere does.

        The client keeps its cookies, so its next request finds that the login has ended.

        :param client: the test client that is signed in.
        :param login: the login's name in the app.
        :param reason: the reason that `logged_out` is sent with, such as ``"back-channel"``.
        :param tenant: the tenant, at a login with tenants.
        :raises ConfigurationError: nobody is signed in there.
        """
        sent: list[str] = []

        def read_cookies() -> Response:
            sent.append(request.headers.get("Cookie", ""))
            return Response()

        def end() -> Response:
            found = find_login(require_here(login))
            if found is None:
                raise ConfigurationError(
                    f"Nobody is signed in at {login!r} with this client: call sign_in first.",
                    row="test-sign-in",
                )
            found.end(reason)
            return Response()

        _visit(client, login, read_cookies, tenant)
        other = client.application.test_client(use_cookies=False)
        _visit(other, login, end, tenant, {"Cookie": sent[0]})

    def api(
        self,
        path: str,
        *,
        json: t.Any = None,
        text: str | None = None,
        status: int | None = None,
        method: str | None = None,
        headers: t.Mapping[str, str] | None = None,
        error: str | Exception | None = None,
    ) -> list[requests.PreparedRequest]:
        """Answer the app's calls of a provider's API.

        :param path: the URL, absolute or relative to the handler's ``api_url``, as the app gives
            it to the session. Without a query it stands for any query.
        :param json: a value to answer with, as JSON.
        :param text: a text to answer with, in place of ``json``.
        :param status: the status; by default 200, or that of ``error``.
        :param method: the only method to answer; by default any.
        :param headers: further headers of the answer.
        :param error: a code of RFC 6750, section 3.1, such as ``"invalid_token"``, which the API
            names in its challenge; or an exception to raise in place of an answer, such as
            ``requests.ConnectionError()``.
        :returns: the list of calls that got this answer. It grows with each call: prepared
            requests, with ``method``, ``url``, ``headers`` and ``body``. Answers to the same URL
            are given in their order, and the last one again and again.
        """
        sent = dict(headers or {})
        body = b"" if text is None else text.encode()
        if text is None:
            body = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        else:
            sent.setdefault("Content-Type", "text/plain; charset=utf-8")
        if isinstance(error, str):
            sent["WWW-Authenticate"] = f'Bearer error="{error}"'
            status = status or _STATUS_OF_CODES.get(error, 400)
        answer = CannedAnswer(
            url=path,
            method=method,
            status=status or 200,
            headers=sent,
            body=body,
            error=error if isinstance(error, Exception) else None,
        )
        self._provider.add(answer)
        return answer.calls


#: RFC 6750, section 3.1.
_STATUS_OF_CODES = {"invalid_request": 400, "invalid_token": 401, "insufficient_scope": 403}


def _make_id_claims(
    registration: Registration, id: str | None, auth_time: int | None, acr: str | None
) -> dict[str, t.Any]:
    handler, now = registration.handler, int(time.time())
    claims = {
        "iss": handler.issuer,
        "sub": id,
        "aud": handler.client_id,
        "iat": now,
        "auth_time": now if auth_time is None else auth_time,
        "acr": acr,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _find_roles(registration: Registration, roles: list[str]) -> FoundRoles:
    """Return roles in the provider's words, as an ID token would have them."""
    rules = registration.options.roles
    if not roles:
        return {}
    if not rules.paths:
        raise ConfigurationError(
            f"The login {registration.name!r} does not say where roles are, so nobody has any:"
            " OAuth2Login(…, roles='path').",
            row="no-role-path",
        )
    if rules.names is None:
        return {rules.paths[0]: (ID_TOKEN, roles)}
    words = {ours: theirs for theirs, ours in rules.names.items()}
    if unknown := [role for role in roles if role not in words]:
        raise ConfigurationError(
            f"The login {registration.name!r} has no name for {', '.join(unknown)} in its"
            f" role_names. It has: {', '.join(words)}.",
            row="test-sign-in",
        )
    return {rules.paths[0]: (ID_TOKEN, [words[role] for role in roles])}


def _check_claims(registration: Registration, claims: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if unknown := sorted(claims.keys() - set(registration.options.claims)):
        raise ConfigurationError(
            f"The login {registration.name!r} does not keep the claims {', '.join(unknown)}:"
            f" OAuth2Login(…, claims={unknown}).",
            row="test-sign-in",
        )
    return dict(claims)


def _visit(
    client: FlaskClient,
    login: str,
    view: t.Callable[[], Response],
    tenant: str | None = None,
    headers: t.Mapping[str, str] | None = None,
) -> t.Any:
    """Send a request to a login's ``/callback``, and answer it by a function in place of the view.

    So the hooks of the app run, and the client takes the cookies, as at a sign-in.

    :raises ConfigurationError: the login has tenants, and its URL needs one.
    """
    app = client.application
    registered = extension_of(app).get(login)
    endpoint = f"{login}.callback"
    path = _path_of(app, endpoint, tenant_values(registered, tenant))
    usual = app.view_functions[endpoint]

    def answer(**_variables: object) -> Response:
        if tenant is not None:
            request_scope().registrations[login] = registration_for(registered, tenant)
        return view()

    app.view_functions[endpoint] = answer
    try:
        return client.get(path, headers=dict(headers or {}))
    finally:
        app.view_functions[endpoint] = usual


def _path_of(app: Flask, endpoint: str, values: t.Mapping[str, str]) -> str:
    """Return the URL of an endpoint as a test client takes it: without the app's own root."""
    with app.test_request_context() as context:
        assert context.url_adapter is not None  # noqa: S101
        root = context.request.root_url.rstrip("/")
        url = context.url_adapter.build(endpoint, values, force_external=True)
        return url.removeprefix(root) if url.startswith(f"{root}/") else url
