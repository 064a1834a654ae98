"""Each login as it is registered: the checks of the registration, its views, and its preset."""

from __future__ import annotations

import functools
import typing as t

from flask import Flask

from ..blueprint import OAuth2Login
from ..checks import CHECKS, check_demands, check_redirect_uri
from ..protocol.errors import ConfigurationError
from ..providers.rows import find_row
from ..session.registration import Login, Registration
from ..web.login_required import refuse_unguarded
from .findings import Finding, Findings


def check_login(app: Flask, login: Login) -> Findings:
    """Repeat the checks of the registration, because views may have been added since."""
    for check in CHECKS:
        yield from _try(check.__name__, login, functools.partial(check, app, login))


def check_provider(app: Flask, registration: Registration) -> Findings:
    """Repeat the checks of a login with its provider."""
    check = functools.partial(check_redirect_uri, app, registration)
    yield from _try(check_redirect_uri.__name__, registration, check)
    check = functools.partial(check_demands, registration)
    yield from _try(check_demands.__name__, registration, check)


def _try(name: str, login: Login, check: t.Callable[[], None]) -> Findings:
    try:
        check()
    except ConfigurationError as error:
        yield Finding(
            "error",
            name.removeprefix("check_").replace("_", "-"),
            error.message,
            "The login does not work as it was meant.",
            "Do what the message says.",
            login.name,
            error.row,
        )


def check_guards(app: Flask) -> Findings:
    """Check that no guard stands above ``@app.route``."""
    for endpoint in app.view_functions:
        try:
            refuse_unguarded(app, endpoint)
        except ConfigurationError as error:
            yield Finding(
                "error",
                "guard",
                error.message,
                "Each visitor of that page gets an error page.",
                "Swap the two decorators.",
                row=error.row,
            )


def check_preset(app: Flask, registration: Registration) -> Findings:
    """Tell of a preset that too few sources agree on."""
    blueprint = app.blueprints.get(registration.name)
    preset = blueprint._plan.provider if isinstance(blueprint, OAuth2Login) else None
    row = find_row(preset) if isinstance(preset, str) else None
    if row is not None and row.get("confirmed") is False:
        yield Finding(
            "warning",
            "preset",
            f"The preset {preset!r} is unconfirmed.",
            "Too few sources agree on its endpoints, or a part of it is doubtful.",
            "Compare it with the provider's documentation:"
            f" `flask oauth2 providers {preset}` shows what it has.",
            registration.name,
        )


def check_tls(app: Flask, registration: Registration) -> Findings:  # noqa: ARG001
    """Check that certificates are verified."""
    if registration.handler.http_options.verify is False:
        yield Finding(
            "error",
            "tls-unverified",
            "The handler has verify=False.",
            "Whoever is between this machine and the provider can read tokens and the client's"
            " secret, and can sign in as anybody.",
            "Remove verify=False. For a certificate authority of your own, use verify='ca.pem'.",
            registration.name,
        )
