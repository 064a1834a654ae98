"""The provider's app: oidc-provider-mock, and around it what that lacks."""

from __future__ import annotations

import dataclasses
import time
import typing as t
import warnings
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

from flask import Flask, Response, g, jsonify, redirect, render_template, request

from ...protocol.errors import ConfigurationError
from ...protocol.scope import split_scope

#: Who can sign in: claims by ``sub``.
People = t.Mapping[str, t.Mapping[str, t.Any]]

PEOPLE: People = {
    "ada": {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "email_verified": True,
        "groups": ["staff", "admins"],
    },
    "grace": {
        "name": "Grace Hopper",
        "email": "grace@example.com",
        "email_verified": True,
        "groups": ["staff"],
    },
}

#: How long (s) a slow endpoint takes.
SLOW_SECONDS = 3
#: What the provider can be told to do, by the endpoint: the words of its page, and the status and
#: the error of the response. Without an error, it answers late.
FAILURES: t.Mapping[str, t.Mapping[str, tuple[str, int, str]]] = {
    "token": {
        "client": ("refuses the client", 401, "invalid_client"),
        "code": ("refuses each code", 400, "invalid_grant"),
        "refresh": ("refuses each refresh token", 400, "invalid_grant"),
        "down": ("is not available", 503, "temporarily_unavailable"),
    },
    "userinfo": {
        "slow": (f"answers after {SLOW_SECONDS} seconds", 200, ""),
        "token": ("rejects each access token", 401, "invalid_token"),
        "down": ("is not available", 503, "temporarily_unavailable"),
    },
}
_ENDPOINTS = {"/oauth2/token": "token", "/userinfo": "userinfo"}
_GRANTS = {"code": "authorization_code", "refresh": "refresh_token"}


def make_app(
    people: People | None = None,
    *,
    scopes: t.Iterable[str] = (),
    lifetime: float = 3600,
    refresh_tokens: bool = True,
    name: str = "Local provider",
) -> Flask:
    """Return the provider as a Flask app.

    :param people: who can sign in, by ``sub``, with their claims; by default :data:`PEOPLE`. Claims
        that OpenID Connect does not know, such as ``groups``, are in every ID token.
    :param scopes: the scopes that it grants besides ``openid``, ``profile``, ``email``, ``address``
        and ``phone``.
    :param lifetime: how long (s) an access token is valid.
    :param refresh_tokens: False to send no refresh tokens.
    :param name: what its pages call it.
    :raises ConfigurationError: oidc-provider-mock is not installed.
    """
    mock = _import_mock()
    people = PEOPLE if people is None else people
    app = Flask(__name__)
    usual = app.wsgi_app
    mock.init_app(
        app,
        issue_refresh_token=refresh_tokens,
        access_token_max_age=timedelta(seconds=lifetime),
        user_claims=[mock.User(sub=sub, claims=dict(claims)) for sub, claims in people.items()],
    )
    # It turns on a debugger that runs code for whoever finds it.
    app.debug, app.wsgi_app = False, usual  # type: ignore[method-assign]
    failing: dict[str, str] = {}
    granted = (*mock.Client.SCOPES_SUPPORTED, *scopes)

    app.jinja_env.globals.update(
        provider_name=name,
        people=people,
        failures=FAILURES,
        failing=failing,
    )
    app.jinja_env.filters["split_scope"] = split_scope

    @app.before_request
    def ignore_warnings() -> None:
        # They say it at each request, too, which would fail where warnings are errors. It is set
        # anew each time, because pytest takes the filters of one test away before the next.
        old = "authlib|oidc_provider_mock"
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=old)

    @app.before_request
    def know_client() -> None:
        # A client of the mock's own could have no other scopes.
        authorization = request.authorization
        id = request.values.get("client_id") or (authorization and authorization.username)
        storage, any_value = g.oidc_provider_mock_storage, mock.ClientAllowAny()
        if id and storage.get_client(id) is None:
            storage.store_client(
                mock.Client(
                    id=id,
                    secret=any_value,
                    redirect_uris=any_value,
                    allowed_scopes=granted,
                    token_endpoint_auth_method=any_value,
                )
            )

    @app.before_request
    def fail() -> t.Any:
        endpoint = _ENDPOINTS.get(request.path, "")
        chosen = failing.get(endpoint)
        grant = _GRANTS.get(chosen or "")
        if chosen is None or (grant and request.form.get("grant_type") != grant):
            return None
        _, status, error = FAILURES[endpoint][chosen]
        if not error:
            time.sleep(SLOW_SECONDS)
            return None
        response = jsonify(error=error)
        response.status_code = status
        if error == "invalid_token":
            response.headers["WWW-Authenticate"] = f'Bearer error="{error}"'
        return response

    @app.after_request
    def grant_chosen_scopes(response: Response) -> Response:
        code = parse_qs(urlsplit(response.location or "").query).get("code")
        if code and request.form.get("chosen"):
            storage = g.oidc_provider_mock_storage
            chosen = " ".join(["openid", *request.form.getlist("grant")])
            issued = storage.get_authorization_code(code[0])
            storage.store_authorization_code(dataclasses.replace(issued, scope=chosen))
        return response

    def home() -> str:
        return render_template("index.html")

    app.view_functions["oidc-provider-mock.home"] = home

    @app.post("/refuse")
    def choose_failures() -> t.Any:
        failing.clear()
        failing.update(
            {
                endpoint: request.form[endpoint]
                for endpoint, kinds in FAILURES.items()
                if request.form.get(endpoint) in kinds
            }
        )
        return redirect("/")

    return app


def _import_mock() -> t.Any:
    """Return the mock's parts as one namespace."""
    try:
        with warnings.catch_warnings(record=True):
            # It is made of older libraries, which have a lot to say.
            import oidc_provider_mock as mock
            from oidc_provider_mock._storage import Client, ClientAllowAny
    except ImportError:
        raise ConfigurationError(
            "The provider for development needs a library: python -m pip install oidc-provider-mock"
            " 'authlib!=1.7.*' (the extra [example] of this package).",
            row="dev-provider",
        ) from None
    return SimpleNamespace(
        init_app=mock.init_app,
        User=mock.User,
        Client=Client,
        ClientAllowAny=ClientAllowAny,
    )
