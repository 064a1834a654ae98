"""`Record`: what a store holds of a login, and its packed form."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing as t

from ..protocol.identity import Claims, Identity
from ..protocol.roles import NO_ROLES, FoundRoles, RoleRules, with_refreshed_roles
from ..protocol.scope import split_scope
from ..protocol.token import Token
from .stored_key import read_key

#: The members of a token response that are elements of their own in a packed record.
_OWN_PLACE = ("access_token", "refresh_token", "expires_at", "expires_in", "scope")
#: The claims of an ID token that refreshing, signing out and the guard need later.
KEPT_CLAIMS = ("iss", "sub", "aud", "sid", "iat", "auth_time", "nonce", "acr")
#: Those of them that are times, and stored relative to the sign-in.
_TIMES = ("iat", "auth_time")
#: Store expires_in only up to this many seconds; longer tokens use the fixed refresh margin.
SHORT_LIFE = 600


@dataclasses.dataclass
class Record:
    """A login: whose it is, its token, and since when.

    The requests that bring the same sealed record share it, so it is never changed, but replaced.
    """

    #: 128 random bits, which the session's entry has too. A grant's id is its name in the store.
    id: str
    #: Empty if the grant has it.
    token: Token = dataclasses.field(repr=False)
    identity: Identity
    #: Unix seconds of the sign-in.
    signed_in_at: int
    #: The granted scopes; the requested ones if the provider did not say.
    scopes: list[str]
    #: The parameters of the request: ``scope`` (a list), ``max_age``, ``acr_values``, …
    requested: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The claims of the ID token that refreshing, signing out and the guard need.
    id_claims: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The ID token itself, if it is kept for signing out at the provider.
    id_token: str | None = dataclasses.field(default=None, repr=False)
    #: The id of the grant that holds the token, if jobs use it too. A grant has its own id here.
    grant: str | None = None
    #: The names of those of the identity's claims that the ID token had.
    id_token_claims: list[str] = dataclasses.field(default_factory=list)
    #: The roles as the provider has them. `unpack` makes ``identity.roles`` of them.
    roles: FoundRoles = dataclasses.field(default_factory=dict)
    #: Unix seconds at which the provider last confirmed who this is; 0 for the sign-in.
    renewed_at: int = 0
    #: The browser of the sign-in, shortened; None if it is unknown, or if browsers keep records.
    user_agent: str | None = None

    @property
    def confirmed_at(self) -> int:
        """When the provider last confirmed who this is, in Unix seconds."""
        return self.renewed_at or self.signed_in_at

    @property
    def is_grant(self) -> bool:
        """True for a grant, which belongs to no browser and outlives all of its sessions."""
        return self.grant == self.id


def copy_identity(identity: Identity, newest: Identity) -> Identity:
    """Return a copy of an identity, which an app may change.

    :param newest: the same person's, with the claims and roles of the newest token.
    """
    claims, roles = Claims(copy_members(newest.claims)), list(newest.roles)
    return dataclasses.replace(identity, claims=claims, roles=roles, answer={})


def copy_members(members: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a deep copy of a JSON object."""
    copied = dict(members)
    for name, value in members.items():
        if type(value) in (dict, list):
            copied[name] = copy.deepcopy(value)
    return copied


def with_refreshed_claims(record: Record, token: Token, wanted: t.Iterable[str]) -> Record:
    """Return a record with the claims and roles of a refreshed token in place of the former one's.

    A claim that only the former ID token had is gone, such as the groups of somebody who is in none
    any more. Claims of UserInfo stay, unless the ID token now has them.

    :param token: the refreshed token, with ``id_claims`` if it has a valid ID token, and with
        ``found_roles`` if roles were looked for in it.
    :param wanted: the names of claims to keep in ``identity.claims``.
    """
    newer = token.id_claims
    if token.found_roles is not None:
        roles = with_refreshed_roles(
            record.roles,
            token.found_roles,
            has_id_token=newer is not None,
            was_checked=token.is_checked,
            has_userinfo=token.userinfo is not None,
        )
        record = dataclasses.replace(record, roles=roles)
    if token.userinfo is None:
        others = {
            name: value
            for name, value in record.identity.claims.items()
            if name not in record.id_token_claims
        }
    else:
        others = {name: token.userinfo[name] for name in wanted if name in token.userinfo}
    if newer is None:
        # What UserInfo says now counts before what the ID token of the sign-in said.
        left = [n for n in record.id_token_claims if token.userinfo is None or n not in others]
        claims = {n: v for n, v in record.identity.claims.items() if n in left}
        identity = dataclasses.replace(record.identity, claims={**others, **claims})
        return dataclasses.replace(record, identity=identity, id_token_claims=left)
    own = {name: newer[name] for name in wanted if name in newer}
    kept = {name: newer[name] for name in KEPT_CLAIMS if name in newer}
    return dataclasses.replace(
        record,
        identity=dataclasses.replace(record.identity, claims={**others, **own}),
        id_claims={**record.id_claims, **kept},
        id_token=token.get("id_token") if record.id_token is not None else None,
        id_token_claims=list(own),
    )


def default_owner(identity: Identity) -> str | None:
    """Return the owner for a person to whom ``on_login`` gave none; None if there is no id."""
    if identity.id is None:
        return None
    # An id may have a colon. If a tenant had one too, people of two tenants could share an owner.
    tenant = (identity.tenant or "").replace("%", "%25").replace(":", "%3A")
    return f"{identity.provider}:{tenant}:{identity.id}"


def pack(record: Record, context: t.Sequence[str] = ()) -> list[t.Any]:
    """Return a record as a list. It is shorter than an object, and may have to fit in a cookie.

    What other parts of it have already, such as the ``sub`` of the ID token, is left out. Each
    element is packed separately (`stores.packing`). Each secret is an element of its own, and
    values that the provider, the person or a link can choose are in different elements.

    :param context: `Registration.context`, with which the record is sealed, and so also opened.
    """
    token, identity = record.token, record.identity
    rest = {k: v for k, v in token.items() if k not in (*_OWN_PLACE, "id_token")}
    if rest.get("token_type") == "Bearer":
        del rest["token_type"]
    requested = dict(record.requested)
    if is_as_requested := requested.get("scope") == record.scopes:
        del requested["scope"]
    expires_at, life = token.expires_at, token.get("expires_in")
    packed = [
        record.id,
        token.get("access_token"),
        token.refresh_token,
        _without_end(
            [
                record.signed_in_at,
                # Relative to the sign-in, because that takes fewer digits.
                None if expires_at is None else expires_at - record.signed_in_at,
                life if life is not None and life <= SHORT_LIFE else None,
            ]
        ),
        _without_end(
            [
                identity.id,
                identity.name,
                identity.email,
                int(identity.email_verified),
                identity.picture,
                identity.claims,
                # Leave out the default owner, which can be made from the other values.
                None if identity.owner == default_owner(identity) else identity.owner,
            ]
        ),
        # The scopes of the record are stored only if they differ from those in the token.
        _pack_scopes(record, is_as_requested),
        requested or None,
        _pack_id_claims(record, context),
        # A text, because it may contain further tokens, which must not be compressed.
        json.dumps(rest) if rest else None,
        record.id_token,
        record.grant,
        record.id_token_claims or None,
        record.id_claims.get("nonce"),
        {path: [source, *roles] for path, (source, roles) in record.roles.items()},
        record.renewed_at - record.signed_in_at if record.renewed_at else None,
        record.user_agent,
        token.dpop_key.secret if token.dpop_key is not None else None,
    ]
    return _without_end(packed)


def _pack_scopes(record: Record, is_as_requested: bool) -> t.Any:
    """Return the scope in the token, and the record's scopes if they differ from it.

    :param is_as_requested: True if the requested scopes are the record's.
    """
    scope, granted = record.token.get("scope"), " ".join(record.scopes)
    if scope is None and is_as_requested and granted.split(" ") == record.scopes:
        return granted
    is_same = scope is not None and split_scope(scope) == record.scopes
    return [scope, None if is_same else record.scopes, *([1] if is_as_requested else [])]


def _pack_id_claims(record: Record, context: t.Sequence[str]) -> list[t.Any] | None:
    """Return the claims of the ID token without its nonce and what :func:`_known_claims` has."""
    if not record.id_claims:
        return None
    others = {name: value for name, value in record.id_claims.items() if name != "nonce"}
    known = []
    for name, value in _known_claims(record.identity, context).items():
        is_known = name in others and others[name] == value
        known.append(int(is_known))
        if is_known:
            del others[name]
    times = []
    for name in _TIMES:
        at = others.get(name)
        times.append(at - record.signed_in_at if type(at) is int else None)
        if type(at) is int:
            del others[name]
    return _without_end([*known, *times, others])


def _unpack_id_claims(
    packed: t.Any, nonce: t.Any, identity: Identity, signed_in_at: int, context: t.Sequence[str]
) -> dict[str, t.Any]:
    if not isinstance(packed, list):
        # Older records have a dictionary here.
        return dict(packed or {})
    iss, sub, aud, iat, auth_time, others = _pad(packed, 6)
    known = _known_claims(identity, context).items()
    claims = {
        name: value for (name, value), is_so in zip(known, (iss, sub, aud), strict=True) if is_so
    }
    times = zip(_TIMES, (iat, auth_time), strict=True)
    claims |= {name: signed_in_at + after for name, after in times if after is not None}
    return {**claims, **(others or {}), **({} if nonce is None else {"nonce": nonce})}


def _known_claims(identity: Identity, context: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the values that other parts of a record have for claims of the ID token."""
    # The context ends with the provider and its client at that provider.
    issuer, client_id = (context[-2], context[-1]) if len(context) > 2 else (None, None)
    return {"iss": issuer, "sub": identity.id, "aud": client_id}


def _without_end(values: list[t.Any]) -> list[t.Any]:
    """Return a list without the empty values at its end. 0 is not empty."""
    while values and values[-1] in (None, "", [], {}):
        values.pop()
    return values


def _pad(values: t.Any, size: int) -> list[t.Any]:
    """Return a list with the empty values at its end that `_without_end` has removed."""
    return [*values, *[None] * (size - len(values))]


def unpack(
    packed: t.Any,
    login: str,
    context: t.Sequence[str] = (),
    tenant: str | None = None,
    rules: RoleRules = NO_ROLES,
) -> Record | None:
    """Return the record that :func:`pack` packed; None for an incompatible older form.

    :param rules: what makes ``identity.roles`` of the record's roles.
    """
    try:
        packed = _pad(packed, 17)
        id, access, refresh, times, who, scopes, requested, id_claims, rest, *more = packed
        id_token, grant, id_token_claims, nonce, roles, renewed, user_agent, dpop_secret = more
        signed_in_at, expires_in, life = _pad(times, 3)
        if isinstance(scopes, str):
            scopes = [None, scopes.split(" "), 1]
        scope, granted, is_as_requested = _pad(scopes, 3)
        expires_at = None if expires_in is None else signed_in_at + expires_in
        own = dict(zip(_OWN_PLACE, (access, refresh, expires_at, life, scope), strict=True))
        token = Token({k: v for k, v in own.items() if v is not None})
        if token:
            token.update({"token_type": "Bearer", **json.loads(rest or "{}")})
            if dpop_secret is not None:
                token.dpop_key = read_key(dpop_secret)
        who = _pad(who, 7)
        subject, name, email, verified, picture, claims, owner = who
    except (TypeError, ValueError):
        return None
    if type(signed_in_at) is not int:
        return None
    identity = Identity(
        login, subject, name, email, bool(verified), picture, tenant, dict(claims or {}), owner
    )
    if owner is None:
        identity.owner = default_owner(identity)
    found = {path: (source, list(names)) for path, (source, *names) in (roles or {}).items()}
    identity.roles = rules.name(found)
    record_scopes = split_scope(scope) if granted is None else granted
    requested = dict(requested or {})
    if is_as_requested:
        requested["scope"] = list(record_scopes)
    return Record(
        id,
        token,
        identity,
        signed_in_at,
        record_scopes,
        requested,
        _unpack_id_claims(id_claims, nonce, identity, signed_in_at, context),
        id_token,
        grant,
        list(id_token_claims or ()),
        found,
        0 if renewed is None else signed_in_at + renewed,
        user_agent,
    )
