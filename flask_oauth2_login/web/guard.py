"""The guard: `login_required` and `require_login`."""

from __future__ import annotations

import functools
import inspect
import time
import typing as t

from flask import Flask, request

from ..protocol.errors import ConfigurationError, LoginRequired
from ..protocol.identity import Identity
from ..protocol.scope import Scope
from ..protocol.tracebacks import without_locals
from ..session.current_login import find_current_login, find_login, find_registration
from ..session.extension import current_extension
from ..session.registration import Registration
from ..session.request_scope import read_entries, request_scope
from ..session.revalidate import revalidate
from ..session.stored_login import StoredLogin
from .demands import COMING_BACK, Demands, Params, require_id_tokens
from .guard_arguments import ARGUMENTS, Check, Guard, Roles, read_guard
from .not_allowed import not_allowed
from .pages import error_page
from .view_urls import is_own_view

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
        guard = read_guard(demands)
        return lambda decorated: _guarded(decorated, view, guard)
    raise ConfigurationError(
        "login_required decorates a view: @login_required, @login_required('github'), or"
        " @login_required(scope='repo', check=function)."
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
    _require(login, read_guard({**dict(zip(ARGUMENTS, given, strict=True)), **unknown}))


@without_locals
def _require(login: str | None, guard: Guard) -> None:
    if is_own_view(request.endpoint):
        # Never guard our own views: a guard for the whole app would block the sign-in itself.
        return
    needed, found = _find_needed(login, guard)
    if needed is None or found is None:
        raise LoginRequired(login=login, params=guard.params)
    if not revalidate(needed, found):
        raise LoginRequired(login=needed.name, params=guard.params)
    if guard.scopes:
        _demand_scope(needed, found, guard)
    if guard.proof is not None:
        _demand_proof(needed, found, guard.proof, guard.params)
    identity = found.record.identity
    if not _has_roles(identity, guard) or (
        guard.check is not None and not _passes(guard.check, identity)
    ):
        raise not_allowed(needed, identity, needs_roles=bool(guard.roles or guard.roles_all))
    request_scope().admitted = needed.name


def _find_needed(name: str | None, guard: Guard) -> tuple[Registration | None, StoredLogin | None]:
    """Return the registration that a guard needs, and the visitor's login there."""
    needs_roles = bool(guard.roles or guard.roles_all)
    if name is None and guard.proof is None and not needs_roles:
        return find_current_login() or (None, None)
    needed = current_extension().get(name) if name is not None else find_registration()
    if guard.proof is not None:
        needed = _able_to_prove(name, needed)
    if needs_roles:
        needed = _able_to_have_roles(name, needed)
    return needed, find_login(needed) if needed is not None else None


def _able_to_prove(name: str | None, registration: Registration | None) -> Registration | None:
    """Return the login, or None if nobody is signed in at a login that has ID tokens.

    :raises ConfigurationError: no login could prove what the guard demands.
    """
    if name is not None or (registration is not None and registration.handler.openid):
        require_id_tokens(t.cast(Registration, registration))
        return registration
    registrations = list(current_extension().logins.values())
    able = [each for each in registrations if each.handler.openid]
    if not able:
        require_id_tokens(registrations[0])
    return _newest_signed_in(able)


def _able_to_have_roles(name: str | None, registration: Registration | None) -> Registration | None:
    """Return the login, or another where somebody is signed in if it does not know any roles.

    :raises ConfigurationError: no login that the guard takes knows where roles are.
    """
    registrations = list(current_extension().logins.values())
    if name is not None:
        registrations = [t.cast(Registration, registration)]
    able = [each for each in registrations if each.options.roles.paths]
    if not able:
        raise ConfigurationError(
            f"The guard demands a role, and the login {registrations[0].name!r} does not know where"
            " roles are: OAuth2Login(…, roles='path'), such as roles='groups'."
        )
    if registration is None or registration in able:
        return registration
    return _newest_signed_in(able) or registration


def _newest_signed_in(registrations: t.Sequence[Registration]) -> Registration | None:
    """Return the login that was signed in last, of several; None if nobody is signed in at one."""
    # Several logins may be signed in, of which an outer guard has named another one.
    names = [entry.login for entry in reversed(read_entries().live)]
    signed_in = [
        each for each in registrations if each.name in names and find_login(each) is not None
    ]
    return min(signed_in, key=lambda each: names.index(each.name), default=None)


def _has_roles(identity: Identity, guard: Guard) -> bool:
    has = set(identity.roles)
    return guard.roles_all <= has and (not guard.roles or not guard.roles.isdisjoint(has))


def _demand_scope(registration: Registration, login: StoredLogin, guard: Guard) -> None:
    missing = registration.handler.missing_scopes(guard.scopes, login.granted_scopes)
    if not missing:
        return
    if set(missing) <= set(login.record.requested.get("scope", ())):
        raise error_page(403, f"Your account did not grant: {' '.join(missing)}.")
    text = "This page needs more of your account."
    raise LoginRequired(
        text, login=registration.name, params={**guard.params, "scope": " ".join(missing)}
    )


def _demand_proof(
    registration: Registration, login: StoredLogin, proof: Demands, params: Params
) -> None:
    if proof.max_age is not None and not _is_recent(login, proof.max_age):
        text = "This page needs a recent sign-in."
        raise LoginRequired(text, login=registration.name, params=dict(params))
    if proof.acr_values and login.record.id_claims.get("acr") not in proof.acr_values:
        text = "This page needs a stronger sign-in."
        raise LoginRequired(text, login=registration.name, params=dict(params))


def _is_recent(login: StoredLogin, max_age: float) -> bool:
    # Only auth_time says when the person authenticated: the last sign-in may have been silent.
    auth_time = login.record.id_claims.get("auth_time")
    if auth_time is None:
        return False
    # This max_age was checked a moment ago. The way back from the provider must not use it up.
    requested = login.record.requested.get("max_age")
    age = time.time() - login.record.signed_in_at
    just_checked = str(requested) == str(max_age) and age <= COMING_BACK
    return just_checked or time.time() - auth_time <= max_age


def _passes(check: Check, identity: Identity) -> bool:
    passed: object = check(identity)
    if isinstance(passed, bool):
        return passed
    if inspect.iscoroutine(passed):
        # Python would warn that it was never awaited.
        passed.close()
    raise ConfigurationError(
        f"check= returned {type(passed).__name__}. It must be a plain function that returns True to"
        " let the person in, or False to refuse."
    )


def _guarded(view: t.Any, login: str | None, guard: Guard) -> t.Any:
    if inspect.isclass(view):
        raise ConfigurationError(
            f"login_required decorates functions, and {view.__name__} is a class. Guard a class of"
            " views by its attribute: decorators = [login_required]."
        )
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            _require(login, guard)
            return await view(*args, **kwargs)

    else:

        @functools.wraps(view)
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            _require(login, guard)
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
            " has registered the bare function. Put @login_required below @app.route."
        )


def _unwrap(view: t.Any) -> t.Iterator[t.Any]:
    """Yield a view, and the functions that it wraps."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)
