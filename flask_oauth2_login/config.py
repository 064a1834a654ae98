"""The settings in `app.config`: every key that this extension reads, checked where it is read."""

from __future__ import annotations

import copy
import re
import typing as t
from datetime import timedelta
from types import NoneType

from flask import Flask, current_app, request

from .protocol.errors import ConfigurationError
from .stores.sealing import Secret

NO_SECRET_KEY = (
    "Flask-OAuth2-Login needs a SECRET_KEY before its blueprint is registered: cookies are sealed"
    ' with it. Make one with `python -c "import secrets; print(secrets.token_hex())"` and set'
    " app.config['SECRET_KEY'], or FLASK_SECRET_KEY with app.config.from_prefixed_env()."
)

#: Characters that a Content-Security-Policy can't have, or that would begin another header.
_NOT_IN_POLICY = re.compile(r"[^\x20-\x7e]|,")
_COLOR = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_LOGO = re.compile(r"(https?://[^\s/?#;,'\"]+)?/[!-~]*")


class Config:
    """The settings of one app, read anew at each use, as Flask's own are.

    :param app: the app whose settings these are.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: ``PERMANENT_SESSION_LIFETIME``, and what :attr:`touch_seconds` is with that.
        self._known_touch: tuple[t.Any, float] = (None, 0.0)
        #: The secrets as they are configured, and as they were checked.
        self._checked_secrets: tuple[tuple[t.Any, ...], tuple[Secret, ...]] = ((), ())

    @property
    def store(self) -> t.Any:
        """``OAUTH2_LOGIN_STORE``: the store of logins that have no ``store=`` of their own."""
        return self._app.config.get("OAUTH2_LOGIN_STORE")

    @property
    def providers(self) -> t.Any:
        """``OAUTH2_LOGIN_PROVIDERS``: presets of the app's own, and changes to those shipped."""
        return self._app.config.get("OAUTH2_LOGIN_PROVIDERS")

    @property
    def idle_seconds(self) -> float:
        """``PERMANENT_SESSION_LIFETIME``: seconds without use after which a login ends."""
        return self._app.permanent_session_lifetime.total_seconds()

    @property
    def lifetime(self) -> float | None:
        """``OAUTH2_LOGIN_LIFETIME``: seconds after which a login ends, however much it is used.

        :raises ConfigurationError: it is neither a positive number nor a timedelta.
        """
        given = self._app.config.get("OAUTH2_LOGIN_LIFETIME")
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if seconds is None or (type(seconds) in {int, float} and seconds > 0):
            return seconds
        raise ConfigurationError(
            f"OAUTH2_LOGIN_LIFETIME={given!r} is neither a number of seconds nor a timedelta.",
            row="setting-value",
        )

    def check_pages(self) -> None:
        """Check the settings of our pages.

        :raises ConfigurationError: one is not valid.
        """
        for key, (is_valid, expected) in _PAGE_SETTINGS.items():
            value = self._app.config.get(key)
            if value is not None and not is_valid(value):
                raise ConfigurationError(f"{key}={value!r} is not {expected}.", row="setting-value")

    @property
    def touch_seconds(self) -> float:
        """Seconds after which the use of a login is noted again."""
        configured = self._app.config["PERMANENT_SESSION_LIFETIME"]
        known, seconds = self._known_touch
        if configured is not known:
            seconds = max(60.0, min(3600.0, self.idle_seconds / 10))
            self._known_touch = configured, seconds
        return seconds

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets that keys are made of, the newest first.

        They are ``OAUTH2_LOGIN_ENCRYPTION_KEY``, ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.

        :raises ConfigurationError: there is none, or one is neither a string nor bytes.
        """
        config = self._app.config
        given = (
            config.get("OAUTH2_LOGIN_ENCRYPTION_KEY"),
            config["SECRET_KEY"],
            config.get("SECRET_KEY_FALLBACKS"),
        )
        known, secrets = self._checked_secrets
        if given != known:
            secrets = _check_secrets(*given)
            # A copy, because an app may change a list of fallbacks.
            self._checked_secrets = copy.deepcopy(given), secrets
        return secrets

    def credentials(self, id_key: str, secret_key: str) -> tuple[t.Any, t.Any]:
        """Return what is set under ``<NAME>_CLIENT_ID`` and ``<NAME>_CLIENT_SECRET``.

        A number becomes text, because `from_prefixed_env` makes one of digits.
        """
        return _as_text(self._app.config.get(id_key)), _as_text(self._app.config.get(secret_key))

    def get(self, key: str) -> t.Any:
        """Return the value of a preset's key, such as ``GITLAB_SITE``; None if it is not set."""
        return self._app.config.get(key)

    def has(self, key: str) -> bool:
        """Return True if a key is set, if only to None."""
        return key in self._app.config


def _check_secrets(own: t.Any, key: t.Any, fallbacks: t.Any) -> tuple[Secret, ...]:
    """Return the secrets that are set, the newest first.

    :raises ConfigurationError: the newest is missing, or one is neither a string nor bytes.
    """
    own = [own] if isinstance(own, (str, bytes)) else own
    given = (*(own or ()), key, *(fallbacks or ()))
    if not given[0]:
        raise ConfigurationError(NO_SECRET_KEY, row="no-secret-key")
    if not all(isinstance(secret, (str, bytes, NoneType)) for secret in given):
        raise ConfigurationError(
            "SECRET_KEY, SECRET_KEY_FALLBACKS and OAUTH2_LOGIN_ENCRYPTION_KEY hold strings or"
            " bytes. from_prefixed_env reads a value of digits alone as a number: make a key"
            " of random letters and digits.",
            row="secret-key-type",
        )
    return tuple(secret for secret in given if secret)


def default_next() -> str:
    """``OAUTH2_LOGIN_DEFAULT_NEXT``: where a visitor goes after a sign-in that names no page."""
    return str(current_app.config.get("OAUTH2_LOGIN_DEFAULT_NEXT") or f"{request.script_root}/")


def app_name() -> str | None:
    """``OAUTH2_LOGIN_APP_NAME``: what our pages call the app."""
    return t.cast("str | None", current_app.config.get("OAUTH2_LOGIN_APP_NAME"))


def app_logo() -> str | None:
    """``OAUTH2_LOGIN_APP_LOGO``: the URL of the app's logo."""
    return t.cast("str | None", current_app.config.get("OAUTH2_LOGIN_APP_LOGO"))


def accent_color() -> str:
    """``OAUTH2_LOGIN_ACCENT_COLOR``: the background of the primary button."""
    return str(current_app.config.get("OAUTH2_LOGIN_ACCENT_COLOR") or "#2457d6")


def content_security_policy(own: str) -> str | None:
    """``OAUTH2_LOGIN_CONTENT_SECURITY_POLICY``: the header of our pages; None to send none.

    :param own: the policy for our own layout, where the setting is missing.
    """
    key = "OAUTH2_LOGIN_CONTENT_SECURITY_POLICY"
    return t.cast("str | None", current_app.config.get(key, own))


def server_name() -> str | None:
    """``SERVER_NAME``: the app's host, for redirect URIs."""
    return t.cast("str | None", current_app.config["SERVER_NAME"])


def prefers_https() -> bool:
    """``PREFERRED_URL_SCHEME``: whether redirect URIs at ``SERVER_NAME`` begin with https."""
    return bool(current_app.config["PREFERRED_URL_SCHEME"] == "https")


def cookies_are_secure() -> bool:
    """``SESSION_COOKIE_SECURE``: whether cookies are for https alone."""
    return bool(current_app.config["SESSION_COOKIE_SECURE"])


def csrf_field() -> str:
    """``WTF_CSRF_FIELD_NAME``: the key under which Flask-WTF keeps its token in the session."""
    return str(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"))


def _as_text(value: t.Any) -> t.Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_image_url(value: t.Any) -> bool:
    """Return True for a path of this site, or an http or https URL, of an image."""
    return isinstance(value, str) and _LOGO.fullmatch(value) is not None


def _is_policy(value: t.Any) -> bool:
    return isinstance(value, str) and _NOT_IN_POLICY.search(value) is None


#: The settings of our pages: what they are checked by, and what is expected of them.
_PAGE_SETTINGS: t.Mapping[str, tuple[t.Callable[[t.Any], bool], str]] = {
    "OAUTH2_LOGIN_APP_NAME": (lambda value: isinstance(value, str), "a string"),
    "OAUTH2_LOGIN_APP_LOGO": (
        is_image_url,
        "the URL of an image: a path such as '/static/logo.svg', or an https URL",
    ),
    "OAUTH2_LOGIN_ACCENT_COLOR": (
        lambda value: isinstance(value, str) and _COLOR.fullmatch(value) is not None,
        "a colour such as '#2457d6' or '#25d': the contrast of the text on it is computed",
    ),
    "OAUTH2_LOGIN_CONTENT_SECURITY_POLICY": (
        _is_policy,
        "a policy: a string of ASCII characters without commas, or None to send none",
    ),
}
