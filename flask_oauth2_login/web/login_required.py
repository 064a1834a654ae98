"""The guard that views are decorated with: `login_required`, and `require_login` as a function.

What it checks at a request is in `guard`, which is imported when a login is registered.
"""

from __future__ import annotations

import functools
import inspect
import typing as t

from flask import Flask

from ..later import Later
from ..protocol.errors import ConfigurationError
from ..protocol.scope import Scope
from .guard_arguments import ARGUMENTS, Check, Guard, Roles, read_guard

if t.TYPE_CHECKING:
    from . import guard
else:
    guard = Later("web.guard")

View = t.TypeVar("View", bound=t.Callable[..., t.Any])

# The attribute in which a guard records its wrapper on the function that it wraps.
_WRAPPERS = "_oauth2_login_wrappers"


@t.overload
def login_required(view: View, /) -> View: ...


@t.overload
def login_required(
    login: str | None = None,
    /,
    *,
    scope: Scope = (),
    check: Check | None = None,
    max_age: float | None = None,
    acr_values: Scope = (),
    authorize_params: t.Mapping[str, t.Any] | None = None,
    roles: Roles | None = None,
    roles_all: Roles | None = None,
) -> t.Callable[[View], View]: ...


def login_required(view: t.Any = None, /, **demands: t.Any) -> t.Any:
    """Admit only people who have signed in. Put it below ``@app.route``.

    .. code-block:: python

        @app.get("/reports")
        @login_required                     # or: ("github"), (scope="repo"), (check=is_admin)
        def reports(): ...

    A browser is redirected to the sign-in and back; a program gets a 401. See
    :func:`require_login` for the arguments and the exceptions.

    :raises ConfigurationError: the guard does not know an argument, or can't check its value.
    """
    if callable(view):
        return _guarded(view, None, read_guard(demands))
    if view is None or isinstance(view, str):
        read = read_guard(demands)
        return lambda decorated: _guarded(decorated, view, read)
    raise ConfigurationError(
        "login_required decorates a view: @login_required, @login_required('github'), or"
        " @login_required(scope='repo', check=function).",
        row="guard-place",
    )


def require_login(
    login: str | None = None,
    /,
    *,
    scope: Scope = (),
    check: Check | None = None,
    max_age: float | None = None,
    acr_values: Scope = (),
    authorize_params: t.Mapping[str, t.Any] | None = None,
    roles: Roles | None = None,
    roles_all: Roles | None = None,
    **unknown: t.Never,
) -> None:
    """Check that somebody has signed in: :func:`login_required` as a function.

    .. code-block:: python

        @admin.before_request
        def members_only():
            require_login("sso", check=is_admin)

    :param login: the login's name. By default any login counts.
    :param scope: scopes that the access token must have. Missing ones are requested once. A scope
        says what the token may do at the provider's API. It does not prove a permission of the
        person, who can edit the request to the provider: use ``check`` for permissions.
    :param check: a plain function that takes the :class:`Identity` and returns a bool. True lets
        the person in, False is answered with a 403.
    :param max_age: the highest age, in seconds, of the person's authentication at the provider,
        by the ``auth_time`` of the ID token (OpenID Connect Core 1.0, section 3.1.2.1).
    :param acr_values: the ``acr`` of the ID token must be one of these (same section).
    :param authorize_params: further parameters for the provider when somebody has to sign in, such
        as ``{"prompt": "login"}``. Apart from the demands among them, they guard nothing.
    :param roles: a role or a list of roles, of which the person must have one. The login says where
        roles are: ``OAuth2Login(…, roles="path")``. Whoever has none is answered with a 403.
    :param roles_all: a role or a list of roles, of which the person must have each.
    :raises ConfigurationError: the guard does not know an argument; ``check`` does not return a
        bool; ``max_age`` or ``acr_values`` is demanded of a login without ID tokens; or a role is
        demanded of a login that does not know where roles are.
    :raises LoginRequired: nobody is signed in, or the sign-in lacks something. Flask's error
        handling answers it.
    :raises werkzeug.exceptions.Forbidden: ``check`` returned False, or the person lacks a role or
        did not grant the scope.
    """
    given = (scope, check, max_age, acr_values, authorize_params, roles, roles_all)
    guard.require(login, read_guard({**dict(zip(ARGUMENTS, given, strict=True)), **unknown}))


def _guarded(view: t.Any, login: str | None, demands: Guard) -> t.Any:
    if inspect.isclass(view):
        raise ConfigurationError(
            f"login_required decorates functions, and {view.__name__} is a class. Guard a class of"
            " views by its attribute: decorators = [login_required].",
            row="guard-place",
        )
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            guard.require(login, demands)
            return await view(*args, **kwargs)

    else:

        @functools.wraps(view)
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            guard.require(login, demands)
            return view(*args, **kwargs)

    _record_wrapper(view, wrapper)
    return wrapper


def _record_wrapper(view: t.Any, wrapper: t.Any) -> None:
    """Record the guard's wrapper on the view, so that `refuse_unguarded` can find it.

    The record names its function, because `functools.wraps` copies it to other functions.
    """
    for inner in _unwrap(view):
        if hasattr(inner, "__dict__"):
            inner.__dict__.setdefault(_WRAPPERS, []).append((inner, wrapper))


def refuse_unguarded(app: Flask, endpoint: str | None) -> None:
    """Refuse a view whose guard stands above ``@app.route``, and so is never called.

    A function may be guarded at one URL and public at another.

    :raises ConfigurationError: the view is such a one. It does not run.
    """
    views = app.view_functions
    view = views.get(endpoint or "")
    recorded = getattr(view, "__dict__", {}).get(_WRAPPERS, ())
    wrappers = [wrapper for guarded, wrapper in recorded if guarded == view]
    if not wrappers:
        return
    reached = {id(inner) for registered in views.values() for inner in _unwrap(registered)}
    if not any(id(wrapper) in reached for wrapper in wrappers):
        raise ConfigurationError(
            f"The view {endpoint!r} is not guarded: @login_required stands above @app.route, which"
            " has registered the bare function. Put @login_required below @app.route.",
            row="guard-place",
        )


def _unwrap(view: t.Any) -> t.Iterator[t.Any]:
    """Yield a view, and the functions that it wraps."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)
