"""Demands on a sign-in, read from the parameters of authorization requests.

The handler's ``authorize_params`` are fixed. The blueprint's are sent unless a link or a view sets
other values. ``max_age``, ``acr_values`` and an essential ``acr`` in ``claims`` are demands. The
demands of all places are combined, so that none lowers another.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t

from ..client.option_values import read_authorization_details, refuse_signed_mode
from ..protocol.errors import ConfigurationError
from ..protocol.scope import Scope, split_scope

if t.TYPE_CHECKING:
    from ..session.registration import Registration

Params = t.Mapping[str, t.Any]

#: Parameters of an authorization request that only the sign-in itself sets.
FLOW_PARAMS = frozenset({
    "client_id", "client_secret", "code_challenge", "code_challenge_method", "id_token_hint",
    "nonce", "redirect_uri", "registration", "request", "request_uri", "response_type", "state",
})  # fmt: skip
#: Parameters that neither a link nor a view can set.
RESERVED_PARAMS = FLOW_PARAMS | {"response_mode", "signature"}

#: Seconds after a sign-in during which the ``max_age`` of its request counts as fulfilled.
COMING_BACK = 10


@dataclasses.dataclass(frozen=True)
class Demands:
    """What the ID token of a sign-in must prove: OpenID Connect Core 1.0, section 3.1.2.1."""

    #: The highest age (s) of the person's authentication at the provider; None for any age.
    max_age: float | None = None
    #: The ``acr`` must be one of these; empty for any.
    acr_values: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.max_age is not None or bool(self.acr_values)

    def and_also(self, other: Demands) -> Demands:
        """Combine two sets of demands, so that a sign-in has to fulfil both.

        :raises ConfigurationError: both have ``acr_values``, with no value in common.
        """
        ages = [age for age in (self.max_age, other.max_age) if age is not None]
        both = [acr for acr in other.acr_values if acr in (self.acr_values or other.acr_values)]
        if other.acr_values and not both:
            raise ConfigurationError(
                f"A sign-in can't fulfil both acr_values={' '.join(self.acr_values)!r} and"
                f" acr_values={' '.join(other.acr_values)!r}. Give them a value in common.",
                row="guard-contradiction",
            )
        return Demands(min(ages, default=None), tuple(both) or self.acr_values)


def read_demands(params: Params) -> Demands:
    """Read the demands among the parameters of an authorization request.

    :raises ConfigurationError: a demand can't be read.
    """
    max_age = params.get("max_age")
    demands = Demands(
        None if max_age is None else read_max_age(max_age),
        tuple(split_scope(params.get("acr_values"))),
    )
    acr = read_claims(params).get("id_token", {}).get("acr")
    if not (isinstance(acr, dict) and acr.get("essential") is True):
        return demands
    values = acr.get("values", acr.get("value", ()))
    listed = values if isinstance(values, (list, tuple)) else [values]
    return demands.and_also(Demands(None, tuple(map(str, listed))))


def read_max_age(given: t.Any) -> float:
    """Return ``max_age`` in seconds.

    :raises ConfigurationError: the value is not a number of seconds.
    """
    try:
        seconds = float(given) if not isinstance(given, bool) else math.nan
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigurationError(
            f"max_age={given!r} is not a number of seconds, such as 300.", row="option-value"
        )
    return int(seconds) if seconds == int(seconds) else seconds


def read_claims(params: Params) -> dict[str, dict[str, t.Any]]:
    """Return the ``claims`` parameter as a dictionary: OpenID Connect Core 1.0, section 5.5.

    :raises ConfigurationError: the value is not a dictionary of dictionaries, nor JSON of one.
    """
    given = params.get("claims") or {}
    try:
        claims = json.loads(given) if isinstance(given, str) else given
        return {place: dict(wanted or {}) for place, wanted in claims.items()}
    except (TypeError, ValueError, AttributeError):
        raise ConfigurationError(
            f"claims={given!r} is not a dictionary of dictionaries, nor JSON of one. Write it like"
            " claims={'id_token': {'acr': {'essential': True, 'values': ['gold']}}}.",
            row="claims-request",
        ) from None


def read_details(params: Params) -> list[dict[str, t.Any]]:
    """Return the ``authorization_details`` parameter as a list: RFC 9396, section 2.

    :raises ConfigurationError: the value is not a list of objects, nor JSON of one.
    """
    given = params.get("authorization_details")
    return read_authorization_details("authorization_details", given) if given else []


def check_params(what: str, params: t.Any, reserved: frozenset[str] = FLOW_PARAMS) -> Params:
    """Check the parameters that a developer adds to authorization requests.

    :param what: the option's name.
    :param reserved: the names that the parameters can't have.
    :raises ConfigurationError: a name is reserved, or a demand can't be read.
    """
    if not isinstance(params, t.Mapping):
        raise ConfigurationError(
            f"{what} must be a dictionary: {what}={{'prompt': 'login'}}.", row="authorize-params"
        )
    # Names that begin with "_" are arguments of `url_for`.
    if taken := sorted(name for name in params if name in reserved or name.startswith("_")):
        raise ConfigurationError(
            f"{what} can't have {', '.join(taken)}: the sign-in sets that itself. Leave it out.",
            row="authorize-params",
        )
    refuse_signed_mode(what, params)
    read_demands(params)
    read_details(params)
    return dict(params)


def login_demands(registration: Registration, params: Params) -> Demands:
    """Return the demands on a sign-in that begins with these parameters.

    :raises ConfigurationError: the login has no ID tokens to prove them, or they conflict.
    """
    demands = Demands()
    handler, options = registration.handler, registration.options
    for place in filter(None, (handler.authorize_params, options.authorize_params, params)):
        demands = demands.and_also(read_demands(place))
    if demands:
        require_id_tokens(registration)
    return demands


def require_id_tokens(registration: Registration) -> None:
    """Check that a login has ID tokens, which prove ``max_age`` and ``acr_values``.

    :raises ConfigurationError: the login has none.
    """
    if not registration.handler.openid:
        raise ConfigurationError(
            f"The login {registration.name!r} has no ID tokens, so nothing proves how recent or"
            " how strong a sign-in is. Remove max_age and acr_values, or use OpenIDConnect(…).",
            row="no-id-tokens",
        )


def authorization_params(
    registration: Registration, params: Params
) -> tuple[list[str], dict[str, t.Any]]:
    """Return the scopes and the further parameters of the authorization request.

    :param params: those of the link or the view. They override the blueprint's, and the handler's
        override them.
    """
    handler, options = registration.handler, registration.options
    # The parameters of `offline` come first, so that a link can replace a prompt among them.
    brings_refresh_token = handler.offline if options.offline else None
    offline = brings_refresh_token if isinstance(brings_refresh_token, dict) else {}
    places = (offline, options.authorize_params, params, handler.authorize_params)
    if not any(places):
        return list(registration.scopes), {}
    merged = {
        name: value
        for place in places
        for name, value in place.items()
        if name not in {*FLOW_PARAMS, "scope"}
    }
    scopes = split_scope([*registration.scopes, *(s for place in places for s in scopes_of(place))])
    demands = Demands()
    claims: dict[str, dict[str, t.Any]] = {}
    for place in places:
        own = {name: place[name] for name in ("max_age", "acr_values") if name in place}
        demands = demands.and_also(read_demands(own))
        for member, wanted in read_claims(place).items():
            claims[member] = {**claims.get(member, {}), **wanted}
    if demands.max_age is not None:
        merged["max_age"] = demands.max_age
    if demands.acr_values:
        merged["acr_values"] = " ".join(demands.acr_values)
    if claims:
        merged["claims"] = claims
    details = [
        *handler.authorization_details,
        *(d for place in places for d in read_details(place)),
    ]
    if details:
        merged["authorization_details"] = [d for n, d in enumerate(details) if d not in details[:n]]
    return scopes, merged


def scopes_of(params: Params) -> list[str]:
    """Return the scopes in the ``scope`` parameter."""
    scope: Scope | None = params.get("scope")
    return split_scope(scope)
