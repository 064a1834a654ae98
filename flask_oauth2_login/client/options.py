"""What a developer gives a handler, checked as early as can be."""

from __future__ import annotations

import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError

if t.TYPE_CHECKING:
    from ..protocol.client_auth import ClientAuth
    from ..protocol.http_options import Timeout
    from ..protocol.identity import Fields


class HandlerOptions(t.TypedDict, total=False):
    """What `OAuth2` takes by keyword: for who passes it on, and editors that complete it."""

    revoke_url: str | None
    userinfo_url: str | None
    api_url: str | None
    api_origins: t.Iterable[str]
    client_auth: str | ClientAuth | None
    pkce: bool
    scope_separator: str
    scope_aliases: t.Mapping[str, str] | None
    token_request: t.Literal["form", "json"]
    token_path: str | None
    client_id_param: str
    bearer_method: str
    bearer_scheme: str
    headers: t.Mapping[str, str] | None
    authorize_params: t.Mapping[str, t.Any] | None
    token_params: t.Mapping[str, t.Any] | None
    identity: Fields | None
    userinfo_method: str
    email_url: str | None
    email_path: str
    response_mode: t.Literal["form_post"] | None
    http_hosts: t.Iterable[str]
    timeout: Timeout
    verify: bool | str | None
    cert: str | tuple[str, str] | None
    proxies: t.Mapping[str, str] | None
    label: str | None


def credential(name: str, value: t.Any) -> str:
    """A credential as given; what a paste has mangled is refused."""
    if value is None or value == "":
        raise ConfigurationError(f"{name} is missing: copy it from your registration.")
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{name} is no string but a {type(value).__name__}. Of an environment variable,"
            " from_prefixed_env makes what its text means in JSON: put it in double quotes there."
        )
    if value != value.strip() or any(ord(character) < 32 for character in value):
        raise ConfigurationError(
            f"{name} has white space or a control character at its ends or in it:"
            " copy it again from your registration."
        )
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(f"{name} stands in quotation marks: take them away.")
    return value


def list_of(name: str, given: t.Iterable[str] | None) -> list[str]:
    """Several strings. One alone would be taken for its letters."""
    if isinstance(given, str):
        raise ConfigurationError(f"{name} is a list of strings: {name}=[{given!r}].")
    return list(given or ())


def origins(name: str, given: t.Iterable[str]) -> frozenset[str]:
    """Origins, of absolute URLs."""
    found = frozenset(map(urls.origin, list_of(name, given)))
    if "" in found:
        raise ConfigurationError(f"{name} needs absolute URLs: {name}=['https://…'].")
    return found


def one_of(name: str, value: t.Any, known: t.Collection[str | None]) -> t.Any:
    """A word that must be one of a few."""
    if value not in known:
        raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(map(str, known))}.")
    return value
