"""`OAuth2Login`: the blueprint, its views, and its registration with an app."""

from __future__ import annotations

import logging
import typing as t

from flask import Blueprint
from flask import Flask
from flask import Response
from flask import current_app
from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed

from ..protocol.errors import AuthorizationError
from ..protocol.errors import ConfigurationError
from ..protocol.errors import OAuth2Error
from ..protocol.identity import Identity
from ..protocol.oauth2 import OAuth2
from ..protocol.oauth2 import Scope
from ..protocol.oauth2 import split_scope
from ..protocol.presets import find_preset
from ..protocol.presets import make_handler
from ..protocol.session import OAuth2Session
from ..protocol.token import Token
from . import flow
from . import homecoming
from . import signals
from . import signing_out
from .extension import Login
from .extension import current_extension
from .extension import extension_of
from .hooks import attach
from .hooks import require_free
from .hooks import require_secret_key
from .navigation import Client
from .navigation import find_client
from .navigation import safe_next
from .pages import keep_private
from .pages import render_error
from .proxies import find_session
from .visit import current_visit
from .visit import find_home
from .visit import find_identity

log = logging.getLogger("flask_oauth2_login")

OnLogin = t.Callable[[Identity, Token], t.Any]
OnLogout = t.Callable[[Identity], t.Any]

#: What a link to ``/login`` may not say: it is the flow's own, or the developer's.
RESERVED_PARAMS = frozenset({
    "client_id", "client_secret", "code_challenge", "code_challenge_method", "id_token_hint",
    "nonce", "redirect_uri", "registration", "request", "request_uri", "response_mode",
    "response_type", "state",
})  # fmt: skip


class OAuth2Login(Blueprint):
    """A blueprint with ``/login``, ``/callback`` and ``/logout`` for one provider.

    .. code-block:: python

        app.register_blueprint(OAuth2Login("github", scope="read:user"))

    Register ``https://<host><url_prefix>/callback`` with the provider.

    :param provider: a handler, or the name of a preset, whose credentials are in
        ``app.config["<NAME>_CLIENT_ID"]`` and ``["<NAME>_CLIENT_SECRET"]``.
    :param name: the login's name; by default the preset's, else ``"oauth2"``.
    :param scope: scopes to ask for, as a string or an iterable; by default the preset's.
    :param store: where records rest: a store, or what ``OAUTH2_LOGIN_STORE`` takes:
        ``"cookie"`` (the default), ``"session"``, or a database's or Redis' URL.
    :param claims: names of what the provider says of a person, to keep in ``identity.claims``.
    :param keep_id_token: keep the ID token for signing out at the provider. Server-side stores do.
    :param authorize_params: asked of the provider at each sign-in, unless a link or a view asks
        for something else (``{"prompt": "select_account"}``).
    :param blueprint: what ``flask.Blueprint`` takes: ``url_prefix``, ``subdomain``, …
    """

    def __init__(
        self,
        provider: str | OAuth2,
        *,
        name: str | None = None,
        scope: Scope | None = None,
        store: t.Any = None,
        claims: t.Iterable[str] = (),
        keep_id_token: bool = False,
        authorize_params: t.Mapping[str, t.Any] | None = None,
        **blueprint: t.Any,
    ) -> None:
        if not isinstance(provider, (str, OAuth2)):
            raise ConfigurationError(
                f"OAuth2Login takes a handler or the name of a preset, not {provider!r}."
            )
        default = provider if isinstance(provider, str) else "oauth2"
        blueprint.setdefault("template_folder", "templates")
        super().__init__(name or default, "flask_oauth2_login", **blueprint)
        self._provider = provider
        self._scope = scope
        self._store = store
        self.claims = tuple(claims)
        self.keep_id_token = keep_id_token
        self.authorize_params = dict(authorize_params or {})
        self._on_login: list[OnLogin] = []
        self._on_logout: list[OnLogout] = []
        rule = t.cast(t.Any, self.add_url_rule)
        strict = {"provide_automatic_options": False}
        rule("/login", "login", _login, methods=["GET", "POST"], **strict)
        rule("/callback", "callback", _callback, methods=["GET", "POST"], **strict)
        rule("/logout", "logout", _logout, methods=["GET", "POST"], **strict)
        self.after_request(_keep_private)

    # -- registration

    def register(self, app: t.Any, options: dict[str, t.Any]) -> None:
        prefix, name = options.get("name_prefix", ""), options.get("name", self.name)
        full_name = f"{prefix}.{name}".lstrip(".")
        require_secret_key(app)
        require_free(app, full_name)
        handler, scopes = self._make_handler(app)
        super().register(app, options)
        attach(app, full_name)
        extension_of(app).add(full_name, self, handler, scopes, self._store)

    def _make_handler(self, app: Flask) -> tuple[OAuth2, list[str]]:
        if isinstance(self._provider, OAuth2):
            return self._provider, split_scope(self._scope)
        overlays = app.config.get("OAUTH2_LOGIN_PROVIDERS") or {}
        preset = find_preset(self._provider, overlays.get(self._provider))
        prefix = self._provider.upper()
        client_id = app.config.get(f"{prefix}_CLIENT_ID")
        client_secret = app.config.get(f"{prefix}_CLIENT_SECRET")
        try:
            handler = make_handler(self._provider, preset, t.cast(str, client_id), client_secret)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error} The login {self.name!r} reads {prefix}_CLIENT_ID and"
                f" {prefix}_CLIENT_SECRET of app.config when it is registered."
            ) from None
        scope = self._scope if self._scope is not None else preset.get("scope")
        return handler, split_scope(scope)

    # -- hooks

    def on_login(self, function: OnLogin) -> OnLogin:
        """Decorator: call a function with ``(identity, token)`` once somebody has signed in.

        It may set ``identity.owner`` (your user's key), call Flask-Login's ``login_user``, and
        return a response to send in place of the redirect. If it raises (``abort(403)``), nothing
        has happened: the session is as it was and no token is kept.
        """
        self._on_login.append(function)
        return function

    def on_logout(self, function: OnLogout) -> OnLogout:
        """Decorator: call a function with ``(identity)`` before somebody is signed out.

        The place for Flask-Login's ``logout_user``, whose remember cookie would survive.
        """
        self._on_logout.append(function)
        return function

    def call_on_login(self, identity: Identity, token: Token) -> Response | None:
        response = None
        for function in self._on_login:
            returned = current_app.ensure_sync(function)(identity, token)
            response = response if returned is None else returned
        return None if response is None else current_app.make_response(response)

    def call_on_logout(self, identity: Identity) -> None:
        for function in self._on_logout:
            current_app.ensure_sync(function)(identity)

    # -- who is signed in at this login

    @property
    def session(self) -> OAuth2Session:
        """The session of whoever is signed in at this login.

        :raises LoginRequired: nobody is.
        """
        return find_session(self._here())

    @property
    def token(self) -> Token | None:
        """The token of whoever is signed in at this login; None where nobody is."""
        home = find_home(self._here())
        return home.record.token if home is not None else None

    @property
    def identity(self) -> Identity | None:
        """Who is signed in at this login; None where nobody is."""
        return find_identity(self._here())

    def _here(self) -> Login:
        """This blueprint's login in the current app; of several, the one that is being served."""
        logins = [login for login in current_extension().logins.values() if login.blueprint is self]
        if not logins:
            raise ConfigurationError(
                f"The login {self.name!r} is not registered with this app:"
                " app.register_blueprint(login)."
            )
        serving = {request.blueprint, current_visit().admitted}
        return next((login for login in logins if login.name in serving), logins[0])


def _serving() -> Login:
    """The login whose view is being served: one blueprint may serve several apps and names."""
    return current_extension().get(str(request.blueprint))


def _login() -> Response:
    login = _serving()
    refuse_aside()
    given = request.values
    params = {
        name: value
        for name, value in given.items()
        if name not in RESERVED_PARAMS | set(login.handler.authorize_params)
        and name not in {"next", "scope", "link", "iss", "target_link_uri"}
    }
    return flow.begin(
        login,
        next=safe_next(given.get("next")),
        scope=split_scope(given.get("scope")),
        link=bool(given.get("link")),
        params=params,
    )


def refuse_aside() -> None:
    """Begin no attempt for a frame, a subresource, or a browser that looks ahead."""
    client = find_client(request)
    if client is Client.PREFETCH:
        error = HTTPException("Not fetched ahead.", None)
        error.code = 503
        error.response = keep_private(Response(status=503))
        raise error
    dest = request.headers.get("Sec-Fetch-Dest", "document")
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    if dest != "document" or mode != "navigate":
        bad = BadRequest("A sign-in is begun by going to it, in a window.")
        bad.response = render_error(bad)
        raise bad


def _callback() -> Response:
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET"])
    login = _serving()
    try:
        response = _come_home(login)
    except OAuth2Error as error:
        log.warning("%s: a sign-in came to nothing. %s", login.name, error)
        signals.send(signals.login_failed, login=login.name, error=error)
        raise
    except HTTPException as refusal:
        if refusal.response is None and (refusal.code or 500) >= 400:
            refusal.response = render_error(refusal)
        raise
    homecoming.forget_waiting(login, response)
    return response


def _come_home(login: Login) -> Response:
    if request.method == "POST" and not flow.answers_by_form(login):
        raise MethodNotAllowed(["GET"])
    answer = flow.read_answer()
    if answer:
        if homecoming.must_wait():
            return homecoming.wait_for_home(login, answer)
        return flow.finish(login, answer)
    waiting = homecoming.take_waiting(login)
    if waiting is None:
        raise AuthorizationError("invalid_request", "there is no answer; start again")
    return flow.finish(login, waiting)


def _logout() -> Response:
    login = _serving()
    return signing_out.sign_out(login) if request.method == "POST" else signing_out.ask(login)


def _keep_private(response: Response) -> Response:
    """Whatever was answered here, by a handler of the app too, is nobody else's."""
    if "Referrer-Policy" not in response.headers:
        keep_private(response)
    return response
