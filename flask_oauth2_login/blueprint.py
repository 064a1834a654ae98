"""`OAuth2Login`: the blueprint, its views, and its registration with an app."""

from __future__ import annotations

import os
import typing as t

from flask import Blueprint, has_request_context, request

from . import jobs, key_rotation, views
from .checks import BEFORE, CHECKS
from .client.oauth2 import OAuth2
from .client.options import credential, list_of
from .client.session import OAuth2Session
from .config import Config
from .globals import find_session
from .hooks import attach
from .protocol.errors import ConfigurationError
from .protocol.identity import Identity
from .protocol.scope import Scope, split_scope
from .protocol.token import Token
from .protocol.tracebacks import without_locals
from .providers.presets import credential_key, find_preset, make_handler
from .session.client_token import client_session
from .session.extension import current_extension, extension_of
from .session.registration import LoginHooks, LoginOptions, OnLogin, OnLogout, Registration
from .session.request_scope import request_scope
from .session.signed_in import find_identity, find_login
from .web.demands import check_params
from .web.urls import VIEWS, endpoint_of


class BlueprintOptions(t.TypedDict, total=False):
    """What `flask.Blueprint` takes by keyword."""

    static_folder: str | os.PathLike[str] | None
    static_url_path: str | None
    template_folder: str | os.PathLike[str] | None
    url_prefix: str | None
    subdomain: str | None
    url_defaults: dict[str, t.Any] | None
    root_path: str | None
    cli_group: str | None


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
    :param offline: keep each person's token for jobs (:meth:`session_for`) in a record of its own,
        which signing out leaves and :meth:`unlink` ends. Needs a server-side store, and a scope
        or a parameter that makes the provider send a refresh token (``offline_access``).
    :param keep_id_token: keep the ID token for signing out at the provider. Server-side stores do.
    :param authorize_params: parameters for the provider at each sign-in, such as
        ``{"prompt": "select_account"}``. A link or a view of the app may override them. It can't
        lower ``scope``, ``max_age``, ``acr_values`` or an essential ``acr`` in ``claims``: these
        are combined, and checked.
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
        offline: bool = False,
        keep_id_token: bool = False,
        authorize_params: t.Mapping[str, t.Any] | None = None,
        **blueprint: t.Unpack[BlueprintOptions],
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
        self._options = LoginOptions(
            claims=tuple(list_of("claims", claims)),
            offline=offline,
            keep_id_token=keep_id_token,
            authorize_params=check_params("authorize_params", authorize_params or {}),
        )
        self._hooks = LoginHooks()
        for path, methods in VIEWS.items():
            endpoint = endpoint_of(path)
            view = getattr(views, endpoint)
            # No answer to OPTIONS either: nobody but a browser and the provider comes here.
            self.add_url_rule(
                f"/{path}", endpoint, view, provide_automatic_options=False, methods=methods
            )
        self.after_request(views.after_view)

    # -- registration

    def register(self, app: t.Any, options: dict[str, t.Any]) -> None:
        prefix, name = options.get("name_prefix", ""), options.get("name", self.name)
        full_name = f"{prefix}.{name}".lstrip(".")
        for check in BEFORE:
            check(app, full_name)
        extension = extension_of(app)
        handler, scopes = self._make_handler(extension.config)
        handler.preload()
        super().register(app, options)
        registration = extension.add(
            full_name, handler, scopes, self._store, self._options, self._hooks
        )
        for check_registration in CHECKS:
            check_registration(app, registration)
        attach(app)

    def _make_handler(self, config: Config) -> tuple[OAuth2, list[str]]:
        if isinstance(self._provider, OAuth2):
            return self._provider, self._scopes_for(self._provider, self._scope)
        preset = find_preset(self._provider, config.providers)
        id_key = credential_key(self._provider, "CLIENT_ID")
        secret_key = credential_key(self._provider, "CLIENT_SECRET")
        try:
            client_id, client_secret = config.credentials(id_key, secret_key)
            client_id = credential("client_id", client_id)
            # The secret of a public client is set to None.
            if not config.has(secret_key) and preset.get("client_auth") != "none":
                credential("client_secret", None)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error} The login {self.name!r} reads {id_key} and {secret_key} of app.config"
                " when it is registered. (A public client has no secret: set that to None.)"
            ) from None
        handler = make_handler(self._provider, preset, client_id, client_secret)
        scope = self._scope if self._scope is not None else preset.get("scope")
        return handler, self._scopes_for(handler, scope)

    def _scopes_for(self, handler: OAuth2, scope: Scope | None) -> list[str]:
        # OpenID Connect Core 1.0, section 3.1.2.1: without this one no ID token comes back.
        return split_scope([*(("openid",) if handler.openid else ()), *split_scope(scope)])

    # -- hooks

    def on_login(self, function: OnLogin) -> OnLogin:
        """Decorator: call a function with ``(identity, token)`` once somebody has signed in.

        It may set ``identity.owner`` (your user's key), call Flask-Login's ``login_user``, and
        return a response to send in place of the redirect. If it raises (``abort(403)``), nothing
        has happened: the session is as it was and no token is kept.
        """
        self._hooks.on_login.append(function)
        return function

    def on_logout(self, function: OnLogout) -> OnLogout:
        """Decorator: call a function with ``(identity)`` before somebody is signed out.

        The place for Flask-Login's ``logout_user``, whose remember cookie would survive.
        """
        self._hooks.on_logout.append(function)
        return function

    # -- who is signed in at this login

    @property
    @without_locals
    def session(self) -> OAuth2Session:
        """The session of whoever is signed in at this login.

        :raises LoginRequired: nobody is.
        """
        return find_session(self._here())

    @property
    @without_locals
    def token(self) -> Token | None:
        """The token of whoever is signed in at this login; None where nobody is."""
        login = find_login(self._here())
        login = login.token_source if login is not None else None
        return login.record.token if login is not None else None

    @property
    @without_locals
    def identity(self) -> Identity | None:
        """Who is signed in at this login; None where nobody is."""
        return find_identity(self._here())

    # -- for somebody who is not there, and for the app itself

    @without_locals
    def session_for(self, owner: str, account: str | None = None) -> OAuth2Session:
        """The session of a person, for a job, a command, a webhook: an app context is enough.

        .. code-block:: python

            @celery.task
            def sync(user_id):
                github.session_for(user_id).get("/user/repos")

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param account: an ``identity.id``, where the person may have several.
        :raises LoginRequired: that login has ended, or never was; so do the session's calls.
        :raises ConfigurationError: records don't rest on the server.
        """
        return jobs.session_for(self._here(), owner, account)

    @without_locals
    def accounts(self, owner: str) -> list[Identity]:
        """A person's accounts at this login.

        :raises ConfigurationError: records don't rest on the server.
        """
        return jobs.accounts(self._here(), owner)

    @without_locals
    def unlink(self, owner: str, id: str) -> bool:
        """End a person's logins and grant of one account, and revoke their tokens.

        :param id: the account's ``identity.id``.
        :returns: False where there was nothing to end.
        :raises ConfigurationError: records don't rest on the server.
        """
        return jobs.unlink(self._here(), owner, id)

    @without_locals
    def reseal(self) -> int:
        """Seal and label this login's records with the newest secret.

        After that, ``SECRET_KEY_FALLBACKS`` may lose the older one: for what rests in the store.

        :returns: how many records were sealed anew.
        :raises ConfigurationError: records don't rest on the server.
        """
        return key_rotation.reseal(self._here())

    @without_locals
    def client_session(self, scope: Scope = "") -> OAuth2Session:
        """A session for the app itself, with nobody signed in: RFC 6749, section 4.4.

        Its token is fetched once for all processes (of this machine, or with a server-side store
        of all machines), and renewed so. An app context is enough.

        :param scope: scopes to ask for.
        """
        registration = self._here()
        return client_session(registration, registration.handler.join_scope(scope))

    def _here(self) -> Registration:
        """This blueprint's login in the current app; of several, the one that is being served."""
        registrations = [
            registration
            for registration in current_extension().logins.values()
            if registration.hooks is self._hooks
        ]
        if not registrations:
            raise ConfigurationError(
                f"The login {self.name!r} is not registered with this app:"
                " app.register_blueprint(login)."
            )
        if not has_request_context():
            return registrations[0]
        serving = {request.blueprint, request_scope().admitted}
        current_page = [
            registration for registration in registrations if registration.name in serving
        ]
        # Under several names: where somebody is signed in, rather than where nobody is.
        current_page += [
            registration
            for registration in registrations
            if len(registrations) > 1 and find_login(registration)
        ]
        return (current_page or registrations)[0]
