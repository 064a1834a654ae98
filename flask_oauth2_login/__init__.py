"""Sign in with any OAuth 2.0 or OpenID Connect provider, and call its API as who signed in."""

import sys
import typing as t
from importlib import import_module

if t.TYPE_CHECKING:
    from .blueprint import OAuth2Login as OAuth2Login
    from .client.oauth2 import OAuth2 as OAuth2
    from .client.openid import OpenIDConnect as OpenIDConnect
    from .client.session import OAuth2Session as OAuth2Session
    from .globals import current_identity as current_identity
    from .globals import current_oauth_session as current_oauth_session
    from .protocol.client_auth import TokenRequest as TokenRequest
    from .protocol.errors import AuthorizationError as AuthorizationError
    from .protocol.errors import ConfigurationError as ConfigurationError
    from .protocol.errors import IDTokenError as IDTokenError
    from .protocol.errors import LoginRequired as LoginRequired
    from .protocol.errors import OAuth2Error as OAuth2Error
    from .protocol.errors import ProviderError as ProviderError
    from .protocol.errors import StoreError as StoreError
    from .protocol.errors import TokenError as TokenError
    from .protocol.identity import Identity as Identity
    from .protocol.token import Token as Token
    from .session.cookie_store import CookieStore as CookieStore
    from .session.session_store import SessionStore as SessionStore
    from .sign_ins import SignIn as SignIn
    from .signals import logged_in as logged_in
    from .signals import logged_out as logged_out
    from .signals import login_failed as login_failed
    from .signals import token_refreshed as token_refreshed
    from .stores.base import Stored as Stored
    from .stores.base import TokenStore as TokenStore
    from .stores.redis import RedisStore as RedisStore
    from .stores.sqlalchemy import SQLAlchemyStore as SQLAlchemyStore
    from .stores.sqlite import SQLiteStore as SQLiteStore
    from .web.links import login_url as login_url
    from .web.links import logout_button as logout_button
    from .web.login_required import login_required as login_required
    from .web.login_required import require_login as require_login

#: Where each public name is. A module is imported when one of its names is first used, so an app's
#: commands that sign nobody in start as fast as without this package.
_MODULES = {
    "OAuth2Login": "blueprint",
    "OAuth2": "client.oauth2",
    "OpenIDConnect": "client.openid",
    "OAuth2Session": "client.session",
    "current_identity": "globals",
    "current_oauth_session": "globals",
    "TokenRequest": "protocol.client_auth",
    "AuthorizationError": "protocol.errors",
    "ConfigurationError": "protocol.errors",
    "IDTokenError": "protocol.errors",
    "LoginRequired": "protocol.errors",
    "OAuth2Error": "protocol.errors",
    "ProviderError": "protocol.errors",
    "StoreError": "protocol.errors",
    "TokenError": "protocol.errors",
    "Identity": "protocol.identity",
    "Token": "protocol.token",
    "CookieStore": "session.cookie_store",
    "SessionStore": "session.session_store",
    "logged_in": "signals",
    "logged_out": "signals",
    "login_failed": "signals",
    "token_refreshed": "signals",
    "SignIn": "sign_ins",
    "Stored": "stores.base",
    "TokenStore": "stores.base",
    "RedisStore": "stores.redis",
    "SQLAlchemyStore": "stores.sqlalchemy",
    "SQLiteStore": "stores.sqlite",
    "login_required": "web.login_required",
    "require_login": "web.login_required",
    "login_url": "web.links",
    "logout_button": "web.links",
}
# `import *` leaves out the stores that need an extra.
__all__ = [
    "AuthorizationError", "ConfigurationError", "CookieStore", "IDTokenError", "Identity",
    "LoginRequired", "OAuth2", "OAuth2Error", "OAuth2Login", "OAuth2Session", "OpenIDConnect",
    "ProviderError", "SQLiteStore", "SessionStore", "SignIn", "StoreError", "Stored", "Token",
    "TokenError", "TokenRequest", "TokenStore",
    "current_identity", "current_oauth_session", "logged_in", "logged_out", "login_failed",
    "login_required", "login_url", "logout_button", "require_login", "token_refreshed",
]  # fmt: skip


def __getattr__(name: str) -> t.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
