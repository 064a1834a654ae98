"""The arguments of the guard, read and checked where a view is decorated."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing as t
from difflib import get_close_matches

from ..protocol.errors import ConfigurationError
from ..protocol.identity import Identity
from ..protocol.scope import split_scope
from .demands import RESERVED_PARAMS, Demands, check_params, read_demands, read_max_age, scopes_of

Check = t.Callable[[Identity], bool]
Roles = str | list[str] | tuple[str, ...] | set[str] | frozenset[str]

#: The arguments of the guard, apart from the name of the login.
ARGUMENTS = (
    "scope", "check", "max_age", "acr_values", "authorize_params", "roles", "roles_all",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Guard:
    """The demands of one guard."""

    scopes: list[str]
    #: The person must have one of these, if there are any.
    roles: frozenset[str]
    #: The person must have each of these.
    roles_all: frozenset[str]
    check: Check | None
    #: What the ID token of the sign-in must prove; None for nothing.
    proof: Demands | None
    #: Parameters for the provider when somebody has to sign in.
    params: t.Mapping[str, t.Any]

    @functools.cached_property
    def needs_roles(self) -> bool:
        """True if the guard demands a role."""
        return bool(self.roles or self.roles_all)


def read_guard(given: t.Mapping[str, t.Any]) -> Guard:
    """Read the arguments of a guard.

    :raises ConfigurationError: the guard does not know an argument, or can't check its value.
    """
    for name in given:
        if name not in ARGUMENTS:
            raise _unknown_argument(name, given[name])
    check, max_age = given.get("check"), given.get("max_age")
    if check is not None and (not callable(check) or _is_not_plain(check)):
        raise ConfigurationError(
            f"check= takes a plain function of the identity that returns a bool, not {check!r}. An"
            " async function or a generator would let everybody in.",
            row="guard-check",
        )
    reserved = RESERVED_PARAMS | {"next", "link"}
    extra = check_params("authorize_params", given.get("authorize_params") or {}, reserved)
    scopes = split_scope([*split_scope(given.get("scope")), *scopes_of(extra)])
    own = Demands(
        None if max_age is None else read_max_age(max_age),
        tuple(split_scope(given.get("acr_values"))),
    )
    demands = own.and_also(read_demands({**extra, "claims": None}))
    params = {
        **extra,
        "scope": " ".join(scopes) or None,
        "max_age": demands.max_age,
        "acr_values": " ".join(demands.acr_values) or None,
    }
    return Guard(
        scopes,
        _read_roles("roles", given.get("roles")),
        _read_roles("roles_all", given.get("roles_all")),
        check,
        demands.and_also(read_demands({"claims": extra.get("claims")})) or None,
        {name: value for name, value in params.items() if value is not None},
    )


def _read_roles(name: str, given: t.Any) -> frozenset[str]:
    """Return the roles of ``roles=`` or ``roles_all=``.

    :raises ConfigurationError: the value is not a role or several.
    """
    if given is None:
        return frozenset()
    roles = [given] if isinstance(given, str) else given
    if (
        not isinstance(roles, (list, tuple, set, frozenset))
        or not roles
        or not all(isinstance(role, str) and role for role in roles)
    ):
        raise ConfigurationError(
            f"{name}={given!r} is neither a role nor a list of roles: {name}='admin', or"
            f" {name}=['admin', 'editor'].",
            row="guard-argument",
        )
    return frozenset(roles)


def _is_not_plain(check: t.Any) -> bool:
    function = check if inspect.isroutine(check) else getattr(check, "__call__", check)  # noqa: B004
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    return any(kind(function) for kind in kinds)


def _unknown_argument(name: str, value: t.Any) -> ConfigurationError:
    """Return the error for an argument that would guard nothing."""
    if name in {"login", "name"} or get_close_matches(name, ["login"], 1, 0.75):
        return ConfigurationError(
            f"Name the login first, without {name}=: ({value!r}, …).", row="guard-argument"
        )
    meant = ["acr_values"] if name.startswith("acr") else get_close_matches(name, ARGUMENTS, 1, 0.6)
    hint = f" Did you mean {meant[0]}?" if meant else ""
    return ConfigurationError(
        f"The guard has no argument {name!r}, and can't check it.{hint} It takes"
        f" {', '.join(ARGUMENTS)}. A permission is a role, or a check= function of the identity;"
        f" what only the provider understands goes in authorize_params={{{name!r}: …}}.",
        row="guard-argument",
    )
