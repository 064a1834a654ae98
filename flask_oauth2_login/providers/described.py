"""What a developer needs to know of a provider before the first sign-in, from its preset."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..protocol.roles import read_rules
from ..protocol.scope import split_scope
from .oddities import in_words, oddities, show_places
from .overlays import config_key
from .presets import unknown_preset
from .rows import find_row
from .variables import fill_in

#: Where the views of a login are, as long as nobody has said it.
PLACEHOLDER = "https://<host><url_prefix>"

_HOST = re.compile(r"[a-z]+://(<host>|[^/:]+)")
#: What a registration asks for: a path below the login's URL, and the usual word for it.
_ENTERED = {
    "redirect_uri": ("/callback", "Redirect URI"),
    "redirect_domain": ("", "Redirect domain"),
    "post_logout_redirect_uri": ("/logout", "Post-logout redirect URI"),
    "backchannel_logout_uri": ("/backchannel-logout", "Back-channel logout URI"),
}
#: What a registration gives, and the usual word for it.
_COPIED = {"client_id": "Client ID", "client_secret": "Client secret"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A field of the page where an app is registered, to fill in."""

    #: What the provider calls the field, or the usual word if :attr:`is_known` is False.
    field: str
    #: What to enter.
    value: str
    #: True if it is known what the provider calls it.
    is_known: bool


@dataclasses.dataclass(frozen=True)
class Setting:
    """A key of ``app.config`` that the preset reads."""

    key: str
    #: What the provider calls the value, or a variable's own name.
    field: str
    #: The value without the key; None if the key is required.
    default: str | None
    is_known: bool


@dataclasses.dataclass(frozen=True)
class Description:
    """What :func:`describe` returns. All of it is text for people."""

    name: str
    label: str
    #: The page where an app is registered; ``""`` if it is not known, or depends on the server.
    register_url: str
    #: What to enter there.
    entries: list[Entry]
    #: What to set in ``app.config``, copied from there.
    settings: list[Setting]
    #: The scopes that a sign-in requests by default.
    scopes: list[str]
    #: What ``offline=True`` does, in a sentence.
    offline: str
    #: The paths of a person's roles.
    roles: list[str]
    #: What the provider does in its own way, in sentences.
    oddities: list[str]
    #: How many independent code bases agree on the endpoints.
    sources: int
    confirmed: bool

    @property
    def confidence(self) -> str:
        """How far to trust the preset, in sentences."""
        if not self.sources and self.confirmed:
            return "The app describes this provider itself."
        agree = {0: "none confirms", 1: "one has"}.get(self.sources, f"{self.sources} agree on")
        text = f"Of 31 public code bases that were compared, {agree} these endpoints."
        if self.confirmed:
            return text
        return f"{text} The preset is unconfirmed: compare it with the provider's documentation."


def describe(
    name: str, *, url: str = PLACEHOLDER, own: t.Mapping[str, t.Any] | None = None
) -> Description:
    """Return what a developer needs to know of a provider, from its preset.

    .. code-block:: python

        describe("github", url="https://app.example/github").entries

    :param name: the preset's name.
    :param url: where the login's views are: the app's origin and the login's ``url_prefix``.
    :param own: ``app.config["OAUTH2_LOGIN_PROVIDERS"]``, whose members count before the preset's.
    :raises ConfigurationError: there is no provider of that name.
    """
    members = (own or {}).get(name, {})
    row = find_row(name)
    if row is None and not members:
        raise unknown_preset(name)
    row = {**(row or {}), **members}
    return Description(
        name=name,
        label=row.get("label", name),
        register_url=show_places(str(fill_in(row.get("register_url", ""), _defaults(row)))),
        entries=list(_entries(row, url)),
        settings=list(_settings(name, row)),
        scopes=_scopes(row),
        offline=_offline(row),
        roles=list(read_rules(row.get("roles"), None).paths),
        oddities=oddities(row),
        sources=row.get("sources", 0),
        confirmed=row.get("confirmed", True),
    )


def _defaults(row: t.Mapping[str, t.Any]) -> dict[str, str]:
    variables = row.get("variables") or {}
    return {name: str(value) for name, value in variables.items() if value is not None}


def _entries(row: t.Mapping[str, t.Any], url: str) -> t.Iterator[Entry]:
    words = row.get("console") or {}
    for what, (path, usual) in _ENTERED.items():
        is_usual = what == "redirect_uri" and "redirect_domain" not in words
        if what in words or is_usual:
            found = _HOST.match(url) if what == "redirect_domain" else None
            value = found[1] if found else url.rstrip("/") + path
            yield Entry(words.get(what, usual), value, what in words)


def _settings(name: str, row: t.Mapping[str, t.Any]) -> t.Iterator[Setting]:
    words = row.get("console") or {}
    copied = dict(_COPIED)
    if row.get("client_auth") == "none":
        del copied["client_secret"]
    if row.get("client_auth") == "private_key_jwt":
        what = "Private key, as PEM or JWK: `flask oauth2 new-key` makes one"
        copied = {"client_id": copied["client_id"], "private_key": what}
    if "signed_secret" in row:
        copied = {"client_id": copied["client_id"], "private_key": "Private key, as PEM text"}
    for what, usual in copied.items():
        field = words.get(what, usual)
        yield Setting(config_key(name, what), field, None, what in words)
    defaults = _defaults(row)
    for variable in row.get("variables") or {}:
        field, default = words.get(variable, variable), defaults.get(variable)
        yield Setting(config_key(name, variable), field, default, variable in words)


def _scopes(row: t.Mapping[str, t.Any]) -> list[str]:
    openid = ["openid"] if "issuer" in row and row.get("protocol") != "oauth2" else []
    return split_scope([*openid, *split_scope(row.get("scope"))])


def _offline(row: t.Mapping[str, t.Any]) -> str:
    words = row.get("offline")
    if isinstance(words, str):
        return f"`offline=True` asks for lasting access by the scope `{words}`."
    if words:
        return f"`offline=True` asks for lasting access by {in_words(words)}."
    return (
        "`offline=True` adds nothing to the request. If this provider has refresh tokens, it sends"
        " them unasked."
    )
