"""`Identity`: who signed in, read from what any provider says of a person."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Mapping

from .errors import ConfigurationError, ProviderAnswerError, see
from .json_input import is_intact, names_of

#: Where most providers have an identity's fields. The first path that leads to a value counts.
DEFAULT_FIELDS: t.Mapping[str, t.Sequence[str]] = {
    "id": ("sub", "id", "user_id", "uid"),
    "name": ("name", "display_name", "displayName", "preferred_username", "username", "login"),
    "email": ("email",),
    "email_verified": ("email_verified", "verified_email"),
    "picture": ("picture", "avatar_url", "avatar"),
}

# A path that is one name.
_NAME = re.compile(r"\w+")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# The conditions that pick the verified addresses from a list.
_VERIFIED = frozenset({"verified", "is_verified", "confirmed", "is_confirmed", "state=confirmed"})

Fields = t.Mapping[str, str | t.Sequence[str]]


class Claims(dict[str, t.Any]):
    """The claims of an identity. The error for one that is missing says how to ask for it."""

    def __missing__(self, name: str) -> t.NoReturn:
        raise KeyError(
            f"There is no claim {name!r}: the login does not keep it, or the provider did not send"
            f" it. To keep it: OAuth2Login(…, claims=[{name!r}]). If the provider sends it to some"
            f" people only: claims.get({name!r}). {see('missing-claim')}"
        )


@dataclasses.dataclass
class Identity:
    """Who somebody is at a provider.

    Use ``provider`` and ``id`` (and ``tenant``, if there is one) as the key of an account: nothing
    else names one account for ever. A name, and an e-mail address too, may change hands.

    .. code-block:: python

        user = User.query.filter_by(provider=identity.provider, sub=identity.id).one_or_none()
    """

    #: The name of the login, as it is registered with the app.
    provider: str
    #: The account's identifier at the provider. It is None if the provider does not tell it: the
    #: handler has no ``userinfo_url``.
    id: str | None
    #: The person's name, as it is shown to people.
    name: str | None = None
    #: The person's e-mail address. Check ``email_verified`` before you rely on it.
    email: str | None = None
    #: True if the provider states that the address belongs to this person.
    email_verified: bool = False
    #: The URL of a picture.
    picture: str | None = None
    #: The tenant that the account belongs to, if the login has tenants.
    tenant: str | None = None
    #: The claims that the login keeps: ``OAuth2Login(…, claims=[…])``.
    claims: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The app's own key for this person, as ``on_login`` has set it. Without that it is made of
    #: ``provider``, ``tenant`` and ``id``: ``github::42``. It is None in ``on_login`` before it is
    #: set, and where ``id`` is None.
    owner: str | None = None
    #: The person's roles, where the login says where they are: ``OAuth2Login(…, roles="path")``.
    roles: list[str] = dataclasses.field(default_factory=list)
    #: Further parameters of the authorization response, which some providers send only once, such
    #: as Apple's ``user`` or QuickBooks' ``realmId``. Only ``on_login`` and the signal see them:
    #: they are not stored. They come through the browser and are not signed, so the person can
    #: change them.
    answer: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.claims) is not Claims:
            self.claims = Claims(self.claims)

    def __bool__(self) -> bool:
        """Return True. The proxy `current_identity` is false if nobody is signed in."""
        return True

    @property
    def is_authenticated(self) -> bool:
        """True. Of the proxy `current_identity` it is False if nobody is signed in."""
        return True

    def to_dict(self) -> dict[str, t.Any]:
        """Return all fields but ``answer`` as a dictionary, for ``jsonify``."""
        fields = dataclasses.asdict(self)
        del fields["answer"]
        return fields


def check_fields(fields: Fields | None) -> Fields | None:
    """Return a handler's option ``identity``.

    :raises ConfigurationError: it is not a mapping, has a field that identities don't have, or
        has a value that is no path.
    """
    if fields is not None and not isinstance(fields, t.Mapping):
        raise ConfigurationError(
            "identity is a dictionary of paths: identity={'id': 'user.id'}.", row="identity-option"
        )
    if unknown := set(fields or ()) - set(DEFAULT_FIELDS):
        raise ConfigurationError(
            f"identity={{…}} has no field {', '.join(sorted(unknown))}:"
            f" use {', '.join(DEFAULT_FIELDS)}, and claims=[…] for others.",
            row="identity-option",
        )
    for word, paths in (fields or {}).items():
        several = [paths] if isinstance(paths, str) else paths
        if not isinstance(several, (list, tuple)) or not all(isinstance(p, str) for p in several):
            raise ConfigurationError(
                f"identity={{{word!r}: {paths!r}}} is neither a path nor a list of paths.",
                row="identity-option",
            )
    return fields


def make_identity(
    members: t.Mapping[str, t.Any],
    *,
    fields: Fields | None = None,
    token: t.Mapping[str, t.Any] | None = None,
    claims: t.Iterable[str] = (),
) -> Identity:
    """Read an identity from what a provider says of a person.

    :param members: the claims of an ID token, or the members of the response of ``userinfo_url``.
    :param fields: the paths of fields that differ from :data:`DEFAULT_FIELDS`.
    :param token: the token, in which paths with ``token:`` start.
    :param claims: names of members to keep in ``claims``.
    :returns: an identity whose ``provider`` is empty.
    :raises ProviderAnswerError: there is no identifier of the account.
    """
    fields = fields or {}

    def find(word: str) -> t.Any:
        paths = fields.get(word, DEFAULT_FIELDS[word])
        for path in [paths] if isinstance(paths, str) else paths:
            value = find_path(members, path, token or {})
            if value is not None and value != "":
                return value
        return None

    found = find("id")
    id = _text(found)
    if id is None or not id.strip() or _CONTROL.search(id) or not is_intact(id):
        paths = fields.get("id", DEFAULT_FIELDS["id"])
        looked_for = paths if isinstance(paths, str) else ", ".join(paths)
        came = token if looked_for.startswith("token:") else members
        problem = f"it has no {looked_for}"
        if found is not None:
            problem = f"what it has at {looked_for} ({type(found).__name__}) can't be an id"
        raise ProviderAnswerError(
            f"The provider's response does not say who signed in: {problem}. It has"
            f" {names_of(came or {})}."
            " Set identity={'id': 'path.to.it'} to the path of the account's id.",
            row="identity-option",
        )
    verified = find("email_verified")
    return Identity(
        provider="",
        id=id,
        name=_text(find("name")),
        email=_text(find("email")),
        # The strings that some providers send count only at a path that the developer has given.
        email_verified=verified is True
        or ("email_verified" in fields and str(verified).lower() in {"true", "1"}),
        picture=_text(find("picture")),
        claims=Claims({name: members[name] for name in claims if name in members}),
    )


def find_path(members: t.Any, path: str, token: t.Mapping[str, t.Any] | None = None) -> t.Any:
    """Return the value at a dotted path, or None if there is none.

    A number is an index of a list. ``a+b`` joins two values with a space. ``[x]`` and ``[x,y]``
    pick the first element of a list whose members of these names are true, ``[k=v]`` the first
    whose member equals the value; these names may be paths, too. A path that begins with
    ``token:`` starts in the token. A member whose name is the whole path counts first, such as a
    claim that is named by a URL with dots.
    """
    # Nearly all values are dictionaries, and `isinstance` is fast for `dict`. It is slow for the
    # types of `typing`.
    if isinstance(members, (dict, Mapping)):
        if path in members:
            return members[path]
        if _NAME.fullmatch(path):
            return None
    if "+" in path:
        parts = (_text(find_path(members, part, token)) for part in path.split("+"))
        return " ".join(filter(None, parts)) or None
    value = members
    if path.startswith("token:"):
        value, path = token, path.removeprefix("token:")
        if isinstance(value, t.Mapping) and path in value:
            return value[path]
    for step in re.findall(r"\[[^\]]*\]|[^.\[]+", path):
        if step.startswith("["):
            value = _pick(value, step[1:-1].split(","))
        elif isinstance(value, t.Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def picks_verified(path: str) -> bool:
    """Return True if a path picks an element of a list on the condition that it is verified."""
    conditions = re.findall(r"\[([^\]]*)\]", path) if "+" not in path else []
    return any(not _VERIFIED.isdisjoint(one.split(",")) for one in conditions)


def _pick(items: t.Any, conditions: t.Sequence[str]) -> t.Any:
    def fits(item: t.Any) -> bool:
        for condition in conditions:
            name, equals, wanted = condition.partition("=")
            value = find_path(item, name) if isinstance(item, t.Mapping) else None
            if (str(value) != wanted) if equals else value is not True:
                return False
        return True

    return next(filter(fits, items), None) if isinstance(items, list) else None


def _text(value: t.Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
