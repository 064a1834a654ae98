"""The registration of an `OAuth2Login` with an app.

This module imports all that a registered login needs. So no request waits for an import, and a
server that loads the app before it forks loads each module once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from flask import Flask
from flask.sansio.blueprints import BlueprintSetupState

from . import jobs, key_rotation, views  # noqa: F401
from .checks import (
    BEFORE,
    CHECKS,
    check_demands,
    check_redirect_uri,
    check_tenant_variable,
)
from .client.oauth2 import OAuth2
from .config import Config
from .hooks import attach
from .protocol.errors import ConfigurationError
from .protocol.scope import Scope, split_scope
from .providers.registering import credential_keys, handler_of_preset, role_rules
from .session import client_token  # noqa: F401
from .session.extension import Extension, extension_of
from .session.login_options import LoginHooks, LoginOptions, LoginPlan
from .session.registration import Registration, make_registration
from .session.shared_nonces import share_nonces
from .web import guard  # noqa: F401
from .web.redirect_uris import further_callback_rule
from .web.view_urls import KEYS_ENDPOINT, KEYS_PATH, VIEWS, endpoint_of

if t.TYPE_CHECKING:
    from werkzeug.routing import Rule

    from .session.tenant_login import TenantLogin


def add_views(state: BlueprintSetupState, host: str | None) -> None:
    """Add a login's URLs and their views to the app that its blueprint is being registered with.

    :param host: the host of the URLs, in an app with ``host_matching``.
    """
    if host is None and state.app.url_map.host_matching:
        raise ConfigurationError(
            "In an app with host_matching, each URL has a host: OAuth2Login(…, host='example.com'),"
            " or host='<host>' for any.",
            row="host-matching",
        )
    options = {} if host is None else {"host": host}
    for path, methods in VIEWS.items():
        endpoint = endpoint_of(path)
        view = getattr(views, endpoint)
        # Only browsers and the provider use these URLs, and they send no OPTIONS.
        state.add_url_rule(
            f"/{path}", endpoint, view, provide_automatic_options=False, methods=methods, **options
        )


def register_login(
    app: Flask,
    name: str,
    plan: LoginPlan,
    hooks: LoginHooks,
    add_urls: t.Callable[[], None],
) -> None:
    """Register a login with an app.

    :param name: the name under which it is registered.
    :param add_urls: adds the login's URLs to the app.
    :raises ConfigurationError: an option or a setting can't work.
    """
    for check in BEFORE:
        check(app, name)
    extension = extension_of(app)
    make = _make_registration if plan.tenant is None else _make_tenant_login
    login = make(extension, name, plan, hooks)
    add_urls()
    extension.logins[name] = login
    if isinstance(login, Registration):
        if login.handler.public_keys():
            _add_keys(app, name)
        _add_further_callback(app, login)
    else:
        # Which tenants have keys is only known at each request.
        _add_keys(app, name)
        extension.has_tenants = True
    for check_login in CHECKS:
        check_login(app, login)
    if isinstance(login, Registration):
        check_redirect_uri(app, login)
        check_demands(login)
    elif isinstance(plan.tenant, str):
        check_tenant_variable(app, name, plan.tenant)
    attach(app)


def _make_registration(
    extension: Extension, name: str, plan: LoginPlan, hooks: LoginHooks
) -> Registration:
    handler, scopes, options = _make_handler(plan, extension.config)
    handler.preload()
    share_nonces(extension, handler)
    return make_registration(
        extension.make_login(name, plan.store, options, hooks), handler, scopes
    )


def _make_handler(plan: LoginPlan, config: Config) -> tuple[OAuth2, list[str], LoginOptions]:
    options, scope = plan.options, plan.scope
    if isinstance(plan.provider, OAuth2):
        handler = plan.provider
    else:
        handler, preset = handler_of_preset(plan.provider, plan.name, plan.preset, config)
        scope = scope if scope is not None else preset.get("scope")
        rules = role_rules(plan.provider, preset, options.roles, handler.client_id)
        keys = credential_keys(plan.provider)
        options = dataclasses.replace(options, roles=rules, config_keys=keys)
    return handler, _scopes_for(handler, scope, options), options


def _scopes_for(handler: OAuth2, scope: Scope | None, options: LoginOptions) -> list[str]:
    # OpenID Connect Core 1.0, section 3.1.2.1: without this scope there is no ID token.
    openid = ("openid",) if handler.openid else ()
    offline = handler.offline if options.offline else None
    more = split_scope(offline) if isinstance(offline, str) else ()
    return split_scope([*openid, *split_scope(scope), *more])


def _make_tenant_login(
    extension: Extension, name: str, plan: LoginPlan, hooks: LoginHooks
) -> TenantLogin:
    from .session.tenant_login import TenantLogin, make_cache

    login = extension.make_login(name, plan.store, plan.options, hooks)
    variable = plan.tenant if isinstance(plan.tenant, str) else None

    def make(tenant: str) -> Registration | None:
        handler = plan.provider(tenant)
        if handler is None:
            return None
        if not isinstance(handler, OAuth2):
            raise ConfigurationError(
                f"The provider of the login {name!r} returned {type(handler).__name__} for a"
                " tenant. It must return an OAuth2 or an OpenIDConnect, or None.",
                row="tenant-provider",
            )
        handler.preload()
        share_nonces(extension, handler)
        scopes = _scopes_for(handler, plan.scope, plan.options)
        registration = make_registration(login, handler, scopes, tenant, variable)
        check_demands(registration)
        return registration

    cache = make_cache(*plan.limits)
    return TenantLogin(**vars(login), source=plan.tenant, make=make, cache=cache)


def _add_keys(app: Flask, name: str) -> None:
    """Add a URL rule for the client's public keys, beside that of the callback."""
    rule = next(app.url_map.iter_rules(f"{name}.callback"))
    path = rule.rule.removesuffix("callback") + KEYS_PATH
    _add_beside(app, rule, path, f"{name}.{KEYS_ENDPOINT}", views.jwks, ["GET"])


def is_public(endpoint: str | None) -> bool:
    """Return True for the view of the client's public keys, which caches may store."""
    return (endpoint or "").rpartition(".")[2] == KEYS_ENDPOINT


def _add_further_callback(app: Flask, registration: Registration) -> None:
    """Add a URL rule for the callback at the path of the handler's ``redirect_uri``."""
    if further := further_callback_rule(app, registration):
        rule = next(app.url_map.iter_rules(f"{registration.name}.callback"))
        view = app.view_functions[rule.endpoint]
        _add_beside(app, rule, further, rule.endpoint, view, VIEWS["callback"])


def _add_beside(
    app: Flask, rule: Rule, path: str, endpoint: str, view: t.Any, methods: list[str]
) -> None:
    """Add a URL rule on the host of another one."""
    app.add_url_rule(
        path,
        endpoint,
        view,
        methods=methods,
        provide_automatic_options=False,
        subdomain=rule.subdomain,
        host=rule.host,
    )
