"""What must hold when a login is registered, as a list of checks that each name the fix."""

from __future__ import annotations

import typing as t

from flask import Flask

from .config import NO_SECRET_KEY, Config, is_image_url
from .protocol.errors import ConfigurationError
from .session.extension import extension_of
from .session.registration import Login, Registration
from .web.demands import login_demands
from .web.redirect_uris import callback_path


def check_secret_key(app: Flask, name: str) -> None:  # noqa: ARG001
    """Check that there is a secret to make keys of.

    :raises ConfigurationError: there is none.
    """
    if not app.config.get("SECRET_KEY"):
        raise ConfigurationError(NO_SECRET_KEY, row="no-secret-key")


def check_name(app: Flask, name: str) -> None:
    """Check that no other blueprint has the login's name.

    :raises ConfigurationError: one has.
    """
    if name in app.blueprints:
        raise ConfigurationError(
            f"This app has a blueprint named {name!r} already. Give the login a name of its own:"
            f" OAuth2Login(…, name='another'), or register_blueprint(login, name='another').",
            row="name-taken",
        )


def check_urls(app: Flask, login: Login) -> None:
    """Check that no other view answers at the login's URLs.

    :raises ConfigurationError: one does.
    """
    name = login.name
    rules = list(app.url_map.iter_rules())
    own = [rule for rule in rules if rule.endpoint.rpartition(".")[0] == name]
    for rule in own:
        for other in rules:
            if other.endpoint != rule.endpoint and _overlap(rule, other):
                raise ConfigurationError(
                    f"{rule.rule!r} is taken by {other.endpoint!r}, so the login {name!r} can't"
                    f" have it. Register it at another place:"
                    f" app.register_blueprint(login, url_prefix='/{name.replace('.', '/')}').",
                    row="url-taken",
                )


def check_redirect_uri(app: Flask, registration: Registration) -> None:
    """Check that each login's redirect URI leads to its own callback, and not to another login's.

    :raises ConfigurationError: one leads to another login.
    """
    name, redirect_uri = registration.name, registration.handler.redirect_uri
    for other in extension_of(app).logins.values():
        if other is registration or not isinstance(other, Registration):
            continue
        if redirect_uri and redirect_uri == other.handler.redirect_uri:
            raise ConfigurationError(
                f"The logins {other.name!r} and {name!r} have the same redirect_uri, which can lead"
                " to one of them only: give each handler its own, or none.",
                row="same-redirect-uri",
            )
        for one, another in ((registration, other), (other, registration)):
            _check_callback(app, one, another)


def _check_callback(app: Flask, registration: Registration, other: Registration) -> None:
    path = callback_path(app, registration)
    own, others = (
        {rule.rule for rule in app.url_map.iter_rules(f"{each.name}.callback")}
        for each in (registration, other)
    )
    if path in others - own:
        raise ConfigurationError(
            f"redirect_uri={registration.handler.redirect_uri!r} of the login"
            f" {registration.name!r} leads to {path!r}, the callback of the login {other.name!r}:"
            f" use a URL with the path {' or '.join(sorted(own))} there and at the provider.",
            row="same-redirect-uri",
        )


def check_tenant_variable(app: Flask, name: str, variable: str) -> None:
    """Check that a login's URLs have the variable that names the tenant.

    :raises ConfigurationError: they have not.
    """
    for rule in app.url_map.iter_rules(f"{name}.callback"):
        if variable not in rule.arguments:
            raise ConfigurationError(
                f"tenant={variable!r} names no variable of {rule.rule!r}, so the login {name!r} has"
                " no tenants there: app.register_blueprint(login,"
                f" url_prefix='/<{variable}>/sso').",
                row="tenant-option",
            )


def check_settings(app: Flask, login: Login) -> None:  # noqa: ARG001
    """Check the settings that are read later.

    :raises ConfigurationError: one is not valid.
    """
    config = Config(app)
    _ = config.lifetime
    config.check_pages()


def check_offline(app: Flask, login: Login) -> None:  # noqa: ARG001
    """Check that the grants for jobs have a store.

    :raises ConfigurationError: ``offline=True`` stands without a server-side store.
    """
    if login.options.offline and login.store is None:
        raise ConfigurationError(
            f"offline=True keeps the grants of the login {login.name!r} for jobs, which"
            " needs a server-side store: OAuth2Login(…, store='sqlite:///logins.db').",
            row="needs-server-side-store",
        )


def check_demands(registration: Registration) -> None:
    """Check that the provider can prove what every sign-in demands.

    :raises ConfigurationError: ``max_age`` or ``acr_values`` is demanded without ID tokens.
    """
    login_demands(registration, {})


def check_roles(app: Flask, login: Login) -> None:  # noqa: ARG001
    """Check that there are roles which ``role_names`` can name.

    :raises ConfigurationError: the login does not know where roles are.
    """
    rules = login.options.roles
    if rules.names is not None and not rules.paths:
        raise ConfigurationError(
            f"role_names={{…}} names the roles of the login {login.name!r}, which does not"
            " know where they are: add roles='path', such as roles='groups'.",
            row="no-role-path",
        )


def check_logo(app: Flask, login: Login) -> None:  # noqa: ARG001
    """Check the image of the login's button.

    :raises ConfigurationError: ``logo`` is not the URL of an image.
    """
    logo = login.options.logo
    if logo is not None and not is_image_url(logo):
        raise ConfigurationError(
            f"logo={logo!r} of the login {login.name!r} is not the URL of an image: a path"
            " such as '/static/sso.svg', or an https URL.",
            row="logo",
        )


#: The checks before a login's blueprint is registered under a name.
BEFORE: t.Sequence[t.Callable[[Flask, str], None]] = (check_secret_key, check_name)
#: The checks of a registered login.
CHECKS: t.Sequence[t.Callable[[Flask, Login], None]] = (
    check_urls,
    check_settings,
    check_offline,
    check_roles,
    check_logo,
)


def _overlap(rule: t.Any, other: t.Any) -> bool:
    """Return True if two URL rules answer the same requests."""
    is_same_place = (rule.rule, rule.subdomain, rule.host) == (
        other.rule, other.subdomain, other.host,
    )  # fmt: skip
    return is_same_place and bool(_methods(rule) & _methods(other))


def _methods(rule: t.Any) -> set[str]:
    return (rule.methods or set()) - {"OPTIONS"}
