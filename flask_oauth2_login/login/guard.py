"""The guard: who may see a view."""

from __future__ import annotations

import functools
import inspect
import time
import typing as t
from difflib import get_close_matches

from flask import current_app
from flask import request

from ..protocol.errors import ConfigurationError
from ..protocol.errors import LoginRequired
from ..protocol.identity import Identity
from ..protocol.scope import Scope
from ..protocol.scope import split_scope
from .answers import forbidden
from .extension import Login
from .extension import current_extension
from .home import RecordHome
from .urls import is_own_view
from .visit import current_login
from .visit import current_visit
from .visit import find_home

View = t.TypeVar("View", bound=t.Callable[..., t.Any])
Check = t.Callable[[Identity], bool]

#: What is demanded of a login; anything else is for the provider.
DEMANDS = ("scope", "check", "max_age", "acr_values")

#: Seconds after a sign-in in which what it was asked for counts as fulfilled.
COMING_BACK = 10

# The name of the note that a guard leaves on the function it wraps.
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
    max_age: int | None = None,
    acr_values: Scope = (),
    **params: t.Any,
) -> t.Callable[[View], View]: ...


def login_required(view: t.Any = None, /, **demands: t.Any) -> t.Any:
    """Let only people in who have signed in. Goes below ``@app.route``.

    .. code-block:: python

        @app.get("/reports")
        @login_required                     # or: ("github"), (scope="repo"), (check=is_admin)
        def reports(): ...

    A browser is sent to sign in and comes back; a program gets a 401. See :func:`require_login`
    for the arguments, and for what happens where something is missing.
    """
    if callable(view):
        return _guarded(view, None, demands)
    if view is None or isinstance(view, str):
        return lambda decorated: _guarded(decorated, view, demands)
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
    max_age: int | None = None,
    acr_values: Scope = (),
    **params: t.Any,
) -> None:
    """Go on only if somebody has signed in: what :func:`login_required` does, as a function.

    .. code-block:: python

        @admin.before_request
        def members_only():
            require_login("sso", check=is_admin)

    :param login: the name of the login; any one by default.
    :param scope: scopes that the access token must have. What is missing is asked for once.
    :param check: a function of the :class:`Identity`; where it returns False, the answer is a 403.
    :param max_age: seconds that the sign-in may be old (OpenID Connect Core 1.0,
        section 3.1.2.1).
    :param acr_values: one of these the sign-in must have satisfied (likewise).
    :param params: what else to ask of the provider when somebody has to sign in, such as
        ``prompt``. It guards nothing.
    :raises ConfigurationError: a word that may be a misspelt demand; a ``check`` that is async.
    :raises LoginRequired: nobody is signed in, or not like that. Leave it to Flask.
    :raises werkzeug.exceptions.Forbidden: somebody is, who may not.
    """
    if params:
        _refuse_mistyped(params)
    if is_own_view(request.endpoint):
        # A guard for the whole app stands in nobody's way to sign in.
        return
    needed = current_extension().get(login) if login is not None else current_login()
    home = find_home(needed) if needed is not None else None
    if needed is None or home is None:
        asked = {
            "scope": " ".join(split_scope(scope)) or None,
            "max_age": max_age,
            "acr_values": " ".join(split_scope(acr_values)) or None,
        }
        wanted = {name: value for name, value in asked.items() if value is not None}
        raise LoginRequired(login=login, params={**wanted, **params})
    _demand_scope(needed, home, split_scope(scope))
    _demand_age(needed, home, max_age)
    _demand_acr(needed, home, split_scope(acr_values))
    if check is not None and not _passes(check, home.record.identity):
        raise forbidden()
    current_visit().admitted = needed.name


def _demand_scope(login: Login, home: RecordHome, scopes: list[str]) -> None:
    missing = login.handler.missing_scopes(scopes, home.record.scopes)
    if not missing:
        return
    if set(missing) <= set(home.record.asked.get("scope", ())):
        raise forbidden(f"Your account did not grant: {' '.join(missing)}.")
    raise LoginRequired(
        "This page needs more of your account.",
        login=login.name,
        params={"scope": " ".join(missing)},
    )


def _demand_age(login: Login, home: RecordHome, max_age: int | None) -> None:
    if max_age is None:
        return
    since = home.record.id_claims.get("auth_time", home.record.signed_in_at)
    # What was asked for just now has been checked: coming back from there takes a while.
    asked, age = home.record.asked.get("max_age"), time.time() - home.record.signed_in_at
    if str(asked) == str(max_age) and age <= COMING_BACK:
        return
    if time.time() - since > max_age:
        raise LoginRequired(
            "This page needs a recent sign-in.", login=login.name, params={"max_age": max_age}
        )


def _demand_acr(login: Login, home: RecordHome, wanted: list[str]) -> None:
    if not wanted or home.record.id_claims.get("acr") in wanted:
        return
    raise LoginRequired(
        "This page needs a stronger sign-in.",
        login=login.name,
        params={"acr_values": " ".join(wanted)},
    )


def _passes(check: Check, identity: Identity) -> bool:
    passed: object = check(identity)
    if inspect.iscoroutine(passed):
        # It would count as true, whatever it comes to.
        passed.close()
        raise ConfigurationError("check= takes a plain function; this one is async.")
    return bool(passed)


def _guarded(view: t.Any, login: str | None, demands: dict[str, t.Any]) -> t.Any:
    _refuse_mistyped(demands)
    if inspect.isclass(view):
        raise ConfigurationError(
            f"login_required decorates functions, and {view.__name__} is a class. Guard a class of"
            " views by its attribute: decorators = [login_required]."
        )
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            require_login(login, **demands)
            return await view(*args, **kwargs)

    else:

        @functools.wraps(view)
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            require_login(login, **demands)
            return view(*args, **kwargs)

    _note_wrapper(view, wrapper)
    return wrapper


def _refuse_mistyped(demands: t.Mapping[str, t.Any]) -> None:
    """Refuse a misspelt demand: it would go to the provider, and let everybody in who signed in.

    :raises ConfigurationError: it says what may have been meant.
    """
    for name, value in demands.items():
        if name in DEMANDS:
            continue
        meant = get_close_matches(name, [*DEMANDS, "login", "name"], 1, 0.75)
        if name.startswith("acr"):
            meant = ["acr_values"]
        if meant in (["login"], ["name"]):
            raise ConfigurationError(f"Name the login first, without {name}=: ({value!r}, …).")
        if meant or callable(value):
            raise ConfigurationError(
                f"The guard has no argument {name!r}. Did you mean {' or '.join(meant or DEMANDS)}?"
            )


def _note_wrapper(view: t.Any, wrapper: t.Any) -> None:
    """Leave a note on the view, and on what it wraps, that it is meant to be reached through this.

    A note names the function it was left on, for `functools.wraps` copies it to others.
    """
    for inner in _unwrap(view):
        if hasattr(inner, "__dict__"):
            inner.__dict__.setdefault(_WRAPPERS, []).append((inner, wrapper))


def refuse_unguarded(endpoint: str | None) -> None:
    """Refuse a view whose guard stands above ``@app.route`` and so is registered nowhere.

    A function that is guarded for one URL and public for another is fine.

    :raises ConfigurationError: it says how to mend that; the view does not run.
    """
    views = current_app.view_functions
    view = views.get(endpoint or "")
    notes = getattr(view, "__dict__", {}).get(_WRAPPERS, ())
    wrappers = [wrapper for noted, wrapper in notes if noted == view]
    if not wrappers:
        return
    reached = {id(inner) for registered in views.values() for inner in _unwrap(registered)}
    if not any(id(wrapper) in reached for wrapper in wrappers):
        raise ConfigurationError(
            f"The view {endpoint!r} is not guarded: @login_required stands above @app.route, which"
            " has registered the bare function. Put @login_required below @app.route."
        )


def _unwrap(view: t.Any) -> t.Iterator[t.Any]:
    """A view, and the functions inside of it that it wraps."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)
