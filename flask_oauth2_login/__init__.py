"""Sign in with any OAuth 2.0 or OpenID Connect provider, and call its API as who signed in."""

import typing as t
from importlib import import_module

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
from .signals import logged_in as logged_in
from .signals import logged_out as logged_out
from .signals import login_failed as login_failed
from .signals import token_refreshed as token_refreshed
from .stores.base import Stored as Stored
from .stores.base import TokenStore as TokenStore
from .stores.sqlite import SQLiteStore as SQLiteStore
from .web.guard import login_required as login_required
from .web.guard import require_login as require_login
from .web.links import login_url as login_url
from .web.links import logout_button as logout_button

# `import *` takes these: the stores that need an extra are for who asks for them.
__all__ = [
    "AuthorizationError", "ConfigurationError", "CookieStore", "IDTokenError", "Identity",
    "LoginRequired", "OAuth2", "OAuth2Error", "OAuth2Login", "OAuth2Session", "OpenIDConnect",
    "ProviderError", "SQLiteStore", "SessionStore", "StoreError", "Stored", "Token", "TokenError",
    "TokenRequest", "TokenStore",
    "current_identity", "current_oauth_session", "logged_in", "logged_out", "login_failed",
    "login_required", "login_url", "logout_button", "require_login", "token_refreshed",
]  # fmt: skip

if t.TYPE_CHECKING:
    from .stores.redis import RedisStore as RedisStore
    from .stores.sqlalchemy import SQLAlchemyStore as SQLAlchemyStore


def __getattr__(name: str) -> t.Any:
    """Import the stores that need an extra when they are asked for."""
    modules = {"RedisStore": "redis", "SQLAlchemyStore": "sqlalchemy"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".stores.{modules[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "RedisStore", "SQLAlchemyStore"]
