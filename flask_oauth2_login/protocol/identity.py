"""Who signed in: the fields of a provider's answer, mapped to the same few words everywhere."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .errors import ConfigurationError, ProviderAnswerError
from .json_input import is_intact

#: Where most providers have what an :class:`Identity` holds: the first path that leads somewhere.
DEFAULT_FIELDS: t.Mapping[str, t.Sequence[str]] = {
    "id": ("sub", "id", "user_id", "uid"),
    "name": ("name", "display_name", "displayName", "preferred_username", "username", "login"),
    "email": ("email",),
    "email_verified": ("email_verified", "verified_email"),
    "picture": ("picture", "avatar_url", "avatar"),
}

Fields = t.Mapping[str, str | t.Sequence[str]]


@dataclasses.dataclass
class Identity:
    """Who somebody is at a provider.

    ``provider`` and ``id`` together (and ``tenant``, where there is one) name one account, for
    good; nothing else does.
    """

    #: The name of the login, as it is registered with the app.
    provider: str
    #: The account's identifier at the provider, always a string; None where nothing says who.
    id: str | None
    name: str | None = None
    email: str | None = None
    #: True only where the provider vouches that the address is this person's.
    email_verified: bool = False
    #: The URL of a picture.
    picture: str | None = None
    tenant: str | None = None
    #: The claims that the login was told to keep.
    claims: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The app's own key for this person, as ``on_login`` set it.
    owner: str | None = None

    def __bool__(self) -> bool:
        """True: an identity is somebody. The proxy `current_identity` is false where nobody is."""
        return True

    def to_dict(self) -> dict[str, t.Any]:
        """All of it as a dictionary that ``jsonify`` can take."""
        return dataclasses.asdict(self)


def check_fields(fields: Fields | None) -> Fields | None:
    """The ``identity`` of a handler, as given.

    :raises ConfigurationError: it is no such thing.
    """
    if fields is not None and not isinstance(fields, t.Mapping):
        raise ConfigurationError("identity is a dictionary of paths: identity={'id': 'user.id'}.")
    if unknown := set(fields or ()) - set(DEFAULT_FIELDS):
        raise ConfigurationError(
            f"identity={{…}} has no field {', '.join(sorted(unknown))}:"
            f" use {', '.join(DEFAULT_FIELDS)}, and claims=[…] for others."
        )
    return fields


def make_identity(
    answer: t.Mapping[str, t.Any],
    *,
    fields: Fields | None = None,
    token: t.Mapping[str, t.Any] | None = None,
    claims: t.Iterable[str] = (),
) -> Identity:
    """Read an identity from what a provider says of a person.

    :param answer: the claims of an ID token, or the answer of ``userinfo_url``.
    :param fields: paths for the words that differ from :data:`DEFAULT_FIELDS`.
    :param token: what ``token:`` paths start from.
    :param claims: names of members to keep in ``claims``.
    :raises ProviderAnswerError: the answer does not say who it is.
    """
    fields = fields or {}

    def find(word: str) -> t.Any:
        paths = fields.get(word, DEFAULT_FIELDS[word])
        for path in [paths] if isinstance(paths, str) else paths:
            value = find_path(answer, path, token or {})
            if value is not None and value != "":
                return value
        return None

    found = find("id")
    if isinstance(found, bool) or not isinstance(found, (str, int)) or not is_intact(str(found)):
        raise ProviderAnswerError(
            "The provider's answer does not say who signed in."
            " Name the field that does: identity={'id': 'path.to.it'}."
        )
    verified = find("email_verified")
    return Identity(
        provider="",
        id=str(found),
        name=_text(find("name")),
        email=_text(find("email")),
        # By a path that the developer gave, a provider's spelling counts; else only a boolean.
        email_verified=verified is True
        or ("email_verified" in fields and str(verified).lower() in {"true", "1"}),
        picture=_text(find("picture")),
        claims={name: answer[name] for name in claims if name in answer},
    )


def find_path(answer: t.Any, path: str, token: t.Mapping[str, t.Any] | None = None) -> t.Any:
    """Follow a dotted path; None where it leads nowhere.

    A number is a list's index; ``a+b`` joins two values with a space; ``[x]``, ``[x,y]``,
    ``[k=v]`` take the first element of a list whose members are true, or equal;
    ``token:`` in front starts from the token answer.
    """
    if "+" in path:
        parts = (_text(find_path(answer, part, token)) for part in path.split("+"))
        return " ".join(filter(None, parts)) or None
    value = answer
    if path.startswith("token:"):
        value, path = token, path.removeprefix("token:")
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


def picks_by(path: str, member: str) -> bool:
    """Return True if a path picks an element of a list on the condition that ``member`` is true."""
    conditions = re.findall(r"\[([^\]]*)\]", path) if "+" not in path else []
    return any(member in one.split(",") for one in conditions)


def _pick(items: t.Any, conditions: t.Sequence[str]) -> t.Any:
    def fits(item: t.Any) -> bool:
        for condition in conditions:
            name, equals, wanted = condition.partition("=")
            value = item.get(name) if isinstance(item, t.Mapping) else None
            if (str(value) != wanted) if equals else value is not True:
                return False
        return True

    return next(filter(fits, items), None) if isinstance(items, list) else None


def _text(value: t.Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
