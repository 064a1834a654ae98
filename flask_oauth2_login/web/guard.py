"""What the guard checks at each request: `login_required` and `require_login` call it."""

from __future__ import annotations

import inspect
import time
import typing as t

from ..protocol.errors import ConfigurationError, LoginRequired
from ..protocol.identity import Identity
from ..protocol.tracebacks import without_locals
from ..session.context import this_request
from ..session.current_login import find_current_login, find_login, find_registration
from ..session.registration import Registration
from ..session.request_scope import RequestScope, read_entries, scope_of
from ..session.revalidate import revalidate
from ..session.stored_login import StoredLogin
from ..session.tenants import find_here, registrations_here
from .demands import COMING_BACK, Demands, Params, require_id_tokens
from .guard_arguments import Check, Guard
from .not_allowed import not_allowed, not_granted
from .view_urls import is_own_view


@without_locals
def require(login: str | None, guard: Guard) -> None:
    """Check what a guard demands of this request: see `require_login`."""
    request = this_request()
    if is_own_view(request.endpoint):
        # Never guard our own views: a guard for the whole app would block the sign-in itself.
        return
    scope = scope_of(request)
    found = _find_needed(scope, login, guard)
    if found is None:
        raise LoginRequired(login=login, params=guard.params)
    needed = found.registration
    seconds = needed.options.revalidate
    if seconds is not None and not revalidate(found, seconds):
        raise LoginRequired(login=needed.name, params=guard.params)
    if guard.scopes:
        _demand_scope(needed, found, guard)
    if guard.proof is not None:
        _demand_proof(needed, found, guard.proof, guard.params)
    if guard.needs_roles and not _has_roles(found.identity, guard):
        raise not_allowed(needed, found.identity, needs_roles=True)
    if guard.check is not None and not _passes(guard.check, found.identity):
        raise not_allowed(needed, found.identity, needs_roles=guard.needs_roles)
    scope.admitted = needed.name


def _find_needed(scope: RequestScope, name: str | None, guard: Guard) -> StoredLogin | None:
    """Return the visitor's login at the registration that a guard needs; None if there is none."""
    if name is None and guard.proof is None and not guard.needs_roles:
        return find_current_login(scope)
    needed = find_here(name) if name is not None else find_registration()
    if name is not None and needed is None:
        return None
    if guard.proof is not None:
        needed = _able_to_prove(name, needed)
    if guard.needs_roles:
        needed = _able_to_have_roles(name, needed)
    return find_login(needed) if needed is not None else None


def _able_to_prove(name: str | None, registration: Registration | None) -> Registration | None:
    """Return the login, or None if nobody is signed in at a login that has ID tokens.

    :raises ConfigurationError: no login could prove what the guard demands.
    """
    if name is not None or (registration is not None and registration.handler.openid):
        require_id_tokens(t.cast(Registration, registration))
        return registration
    registrations = registrations_here()
    able = [each for each in registrations if each.handler.openid]
    if registrations and not able:
        require_id_tokens(registrations[0])
    return _newest_signed_in(able)


def _able_to_have_roles(name: str | None, registration: Registration | None) -> Registration | None:
    """Return the login, or another where somebody is signed in if it does not know any roles.

    :raises ConfigurationError: no login that the guard takes knows where roles are.
    """
    registrations = registrations_here()
    if name is not None:
        registrations = [t.cast(Registration, registration)]
    able = [each for each in registrations if each.options.roles.paths]
    if registrations and not able:
        raise ConfigurationError(
            f"The guard demands a role, and the login {registrations[0].name!r} does not know where"
            " roles are: OAuth2Login(…, roles='path'), such as roles='groups'.",
            row="no-role-path",
        )
    if registration is None or registration in able:
        return registration
    return _newest_signed_in(able) or registration


def _newest_signed_in(registrations: t.Sequence[Registration]) -> Registration | None:
    """Return the login that was signed in last, of several; None if nobody is signed in at one."""
    # Several logins may be signed in, of which an outer guard has named another one.
    keys = [entry.key for entry in reversed(read_entries().live)]
    signed_in = [
        each for each in registrations if each.key in keys and find_login(each) is not None
    ]
    return min(signed_in, key=lambda each: keys.index(each.key), default=None)


def _has_roles(identity: Identity, guard: Guard) -> bool:
    has = set(identity.roles)
    return guard.roles_all <= has and (not guard.roles or not guard.roles.isdisjoint(has))


def _demand_scope(registration: Registration, login: StoredLogin, guard: Guard) -> None:
    missing = registration.handler.missing_scopes(guard.scopes, login.granted_scopes)
    if not missing:
        return
    if set(missing) <= set(login.record.requested.get("scope", ())):
        raise not_granted(registration, login.record.identity, missing)
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
        " let the person in, or False to refuse.",
        row="guard-check",
    )
