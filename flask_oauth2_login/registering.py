"""The registration of an `OAuth2Login` with an app.

This module imports all that a registered login needs. So no request waits for an import, and a
server that loads the app before it forks loads each module once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from flask import Flask, has_request_context, request
from flask.sansio.blueprints import BlueprintSetupState

from . import jobs, key_rotation, views  # noqa: F401
from .checks import BEFORE, CHECKS
from .client.oauth2 import OAuth2
from .hooks import attach
from .protocol.errors import ConfigurationError
from .protocol.scope import Scope, split_scope
from .providers.registering import handler_of_preset, role_rules
from .session import client_token  # noqa: F401
from .session.current_login import find_login
from .session.extension import current_extension, extension_of
from .session.login_options import LoginHooks, LoginOptions
from .session.registration import Registration
from .session.request_scope import request_scope
from .web import guard  # noqa: F401
from .web.redirect_uris import further_callback_rule
from .web.view_urls import VIEWS, endpoint_of


def add_views(state: BlueprintSetupState) -> None:
    """Add a login's URLs and their views to the app that its blueprint is being registered with."""
    for path, methods in VIEWS.items():
        endpoint = endpoint_of(path)
        view = getattr(views, endpoint)
        # Only browsers and the provider use these URLs, and they send no OPTIONS.
        state.add_url_rule(
            f"/{path}", endpoint, view, provide_automatic_options=False, methods=methods
        )


def prepare(
    app: Flask,
    full_name: str,
    name: str,
    provider: str | OAuth2,
    preset: t.Mapping[str, t.Any] | None,
    scope: Scope | None,
    options: LoginOptions,
) -> tuple[OAuth2, list[str], LoginOptions]:
    """Return the handler of a login, its scopes and its options, before it is registered.

    :param full_name: the name that the login will have in the app.
    :param name: the name of its blueprint.
    :raises ConfigurationError: an option or a setting can't work.
    """
    for check in BEFORE:
        check(app, full_name)
    config = extension_of(app).config
    if isinstance(provider, OAuth2):
        handler = provider
    else:
        handler, found = handler_of_preset(provider, name, preset, config)
        scope = scope if scope is not None else found.get("scope")
        rules = role_rules(provider, found, options.roles, handler.client_id)
        options = dataclasses.replace(options, roles=rules)
    handler.preload()
    return handler, _scopes_for(handler, scope, offline=options.offline), options


def _scopes_for(handler: OAuth2, scope: Scope | None, *, offline: bool) -> list[str]:
    # OpenID Connect Core 1.0, section 3.1.2.1: without this scope there is no ID token.
    openid = ("openid",) if handler.openid else ()
    more = handler.offline if offline else None
    refresh = split_scope(more) if isinstance(more, str) else ()
    return split_scope([*openid, *split_scope(scope), *refresh])


def complete(
    app: Flask,
    full_name: str,
    handler: OAuth2,
    scopes: list[str],
    store: t.Any,
    options: LoginOptions,
    hooks: LoginHooks,
) -> None:
    """Add a login to an app whose blueprint is registered, and check it there.

    :raises ConfigurationError: an option or a setting can't work.
    """
    registration = extension_of(app).add(full_name, handler, scopes, store, options, hooks)
    if further := further_callback_rule(app, registration):
        rule = next(app.url_map.iter_rules(f"{full_name}.callback"))
        app.add_url_rule(
            further,
            rule.endpoint,
            app.view_functions[rule.endpoint],
            methods=VIEWS["callback"],
            provide_automatic_options=False,
            subdomain=rule.subdomain,
            host=rule.host,
        )
    for check in CHECKS:
        check(app, registration)
    attach(app)


def current_registration(name: str, hooks: LoginHooks) -> Registration:
    """Return a blueprint's login in the current app.

    If it has several names there, return the one that the request is for, or else the one where
    somebody is signed in.

    :param name: the blueprint's name, for the error.
    :param hooks: those of the blueprint, by which its logins are found.
    :raises ConfigurationError: the blueprint is not registered with the app.
    """
    registrations = [
        registration
        for registration in current_extension().logins.values()
        if registration.hooks is hooks
    ]
    if not registrations:
        raise ConfigurationError(
            f"The login {name!r} is not registered with this app: app.register_blueprint(login)."
        )
    if not has_request_context():
        return registrations[0]
    requested = {request.blueprint, request_scope().admitted}
    for registration in registrations:
        if registration.name in requested:
            return registration
    if len(registrations) > 1:
        for registration in registrations:
            if find_login(registration):
                return registration
    return registrations[0]
