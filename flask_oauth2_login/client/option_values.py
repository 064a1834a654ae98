"""Checks of single options, and of the names of options."""

from __future__ import annotations

import difflib
import json
import math
import re
import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError, see

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey
    from ..protocol.private_keys import PrivateKey

# RFC 3986, section 4.3, in the characters of section 2.
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!$-;=?-Z_a-z~\[\]]+")

if t.TYPE_CHECKING:
    from ..protocol.private_keys import PrivateKey


def credential(name: str, value: t.Any) -> str:
    """Return a credential as it is given, unless a copy has changed it.

    :param name: the parameter's name, for the error.
    :raises ConfigurationError: the credential is missing, is not a string, has white space or
        quotation marks around it, or contains a control character.
    """
    if value is None or value == "":
        raise ConfigurationError(
            f"{name} is missing: copy it from your registration.", row="credentials-missing"
        )
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{name} is not a string but a {type(value).__name__}. If it is an environment"
            " variable, from_prefixed_env reads it as JSON: write it there in double quotes, and"
            " in single ones around them for the shell, '\"…\"'.",
            row="credentials-type",
        )
    if value != value.strip() or any(ord(character) < 32 for character in value):
        raise ConfigurationError(
            f"{name} begins or ends with white space, or contains a control character: copy it"
            " again from your registration.",
            row="credentials-copied",
        )
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(
            f"{name} is in quotation marks: remove them.", row="credentials-copied"
        )
    return value


def redirect_url(given: str | None) -> str | None:
    """Return the option ``redirect_uri``.

    :raises ConfigurationError: it is not an absolute URL.
    """
    if given and not urls.is_absolute(text("redirect_uri", given)):
        raise ConfigurationError(
            f"redirect_uri={given!r} is not an absolute URL: write it as it is registered,"
            " https://<host>/callback.",
            row="redirect-uri-option",
        )
    return given


def list_of(name: str, given: t.Any) -> list[str]:
    """Return several strings as a list.

    :raises ConfigurationError: it is a single string, which would be read as its letters, or has
        something else than strings.
    """
    if isinstance(given, str):
        raise ConfigurationError(
            f"{name} must be a list of strings: {name}=[{given!r}].", row="option-value"
        )
    found = list(given) if isinstance(given, t.Iterable) else [given] if given else []
    if wrong := [each for each in found if not isinstance(each, str)]:
        kind = type(wrong[0]).__name__
        raise ConfigurationError(
            f"{name} must be a list of strings, and has a value of type {kind}.", row="option-value"
        )
    return found


def read_seconds(name: str, given: t.Any) -> float | None:
    """Return a number of seconds that is more than 0; None for None.

    :raises ConfigurationError: it is something else.
    """
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if given is not None and not (is_number and 0 < given < math.inf):
        raise ConfigurationError(
            f"{name}={given!r} is not a number of seconds, such as 900.", row="option-value"
        )
    return t.cast("float | None", given)


def set_of(name: str, given: t.Iterable[str] | None) -> frozenset[str]:
    """Return several strings as a set. See :func:`list_of`."""
    return frozenset(list_of(name, given))


def dict_of(name: str, given: t.Any) -> dict[str, t.Any]:
    """Return a copy of a mapping; an empty one for None.

    :raises ConfigurationError: it is something else.
    """
    if given is not None and not isinstance(given, t.Mapping):
        kind = type(given).__name__
        raise ConfigurationError(
            f"{name} must be a dictionary, and is of type {kind}.", row="option-value"
        )
    return dict(given or {})


def origins(name: str, given: t.Iterable[str]) -> frozenset[str]:
    """Return the origins of absolute URLs.

    :raises ConfigurationError: one of them is not an absolute URL.
    """
    found = frozenset(map(urls.origin, list_of(name, given)))
    if "" in found:
        raise ConfigurationError(
            f"{name} needs absolute URLs: {name}=['https://…'].", row="option-value"
        )
    return found


def read_authorization_details(name: str, given: t.Any) -> list[dict[str, t.Any]]:
    """Return what is to be authorized in detail: RFC 9396, section 2. An empty list for None.

    :param given: a list of objects that each have a ``type``, or JSON of one.
    :raises ConfigurationError: it is something else.
    """
    try:
        found = json.loads(given) if isinstance(given, str) else list(given or ())
        json.dumps(found)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, list) or not all(map(_has_type, found)):
        raise ConfigurationError(
            f"{name} is not a list of objects that each have a type, with values that JSON can"
            f" have: {name}=[{{'type': 'payment', 'amount': '12.50'}}].",
            row="authorization-details",
        )
    return [dict(each) for each in found]


def _has_type(detail: t.Any) -> bool:
    kind = detail.get("type") if isinstance(detail, t.Mapping) else None
    return isinstance(kind, str) and bool(kind)


def read_resources(name: str, given: t.Any) -> list[str]:
    """Return the URIs of one or several resources: RFC 8707, section 2.

    :raises ConfigurationError: one is not an absolute URI, or has a fragment.
    """
    found = [given] if isinstance(given, str) else list_of(name, given)
    for uri in found:
        if not _RESOURCE.fullmatch(uri):
            raise ConfigurationError(
                f"{name}={uri!r} is not an absolute URI without a fragment:"
                f" {name}='https://api.example/'.",
                row="resource",
            )
    return found


def text(name: str, given: t.Any) -> str:
    """Return a string.

    :raises ConfigurationError: it is something else.
    """
    if not isinstance(given, str):
        raise ConfigurationError(
            f"{name} must be a string, and is of type {type(given).__name__}.", row="option-value"
        )
    return given


def optional_text(name: str, given: t.Any) -> str | None:
    """Return a string, or None. See :func:`text`."""
    return None if given is None else text(name, given)


def flag(name: str, given: t.Any) -> bool:
    """Return True or False.

    :raises ConfigurationError: it is something else, such as the string "no", which counts as true.
    """
    if not isinstance(given, bool):
        raise ConfigurationError(f"{name}={given!r} is neither True nor False.", row="option-value")
    return given


def optional_flag(name: str, given: t.Any) -> bool | None:
    """Return True, False, or None. See :func:`flag`."""
    return None if given is None else flag(name, given)


def one_of(name: str, value: t.Any, *, known: t.Collection[str | None]) -> t.Any:
    """Return a value that must be one of a few.

    :raises ConfigurationError: it is none of them.
    """
    if value not in known:
        raise ConfigurationError(
            f"{name}={value!r} is not one of {', '.join(map(str, known))}.", row="option-value"
        )
    return value


def dpop_key(name: str, given: t.Any) -> bool | DPoPKey:
    """Return False, True for a key for each login, or the client's own key for all of them.

    :raises ConfigurationError: it is neither a boolean nor a private key.
    """
    if isinstance(given, bool):
        return given
    # Imported here, because most handlers have no keys.
    from ..protocol.dpop import read_own_key

    return read_own_key(name, given)


def private_keys(name: str, given: t.Any) -> tuple[PrivateKey, ...]:
    """Return the private keys of an option, which signs; an empty tuple for None.

    :raises ConfigurationError: a key can't be read, or can't sign.
    """
    if given is None or given == ():
        return ()
    # Imported here, because few logins have keys.
    from ..protocol.private_keys import find_signer, read_private_keys

    keys = read_private_keys(name, given)
    find_signer(name, keys, None)
    return keys


def audience(name: str, given: str | None) -> str | None:
    """Return the audience of assertions: ``"token_url"``, an absolute URL, or None.

    :raises ConfigurationError: it is something else.
    """
    if given is not None and given != "token_url" and not urls.is_absolute(text(name, given)):
        raise ConfigurationError(
            f"{name}={given!r} is neither 'token_url' nor an absolute URL, such as the provider's"
            " issuer.",
            row="option-value",
        )
    return given


def bearer_method(name: str, given: str) -> str:
    """Return how an API request carries the token.

    :raises ConfigurationError: it is neither by a header nor in the query.
    """
    one_of(name, text(name, given).partition(":")[0], known=("header", "query"))
    return given


def offline_params(
    name: str, given: str | t.Mapping[str, str] | None
) -> str | dict[str, str] | None:
    """Return what makes a provider send a refresh token: a scope, or parameters.

    :raises ConfigurationError: it is something else.
    """
    if isinstance(given, t.Mapping):
        return dict(given)
    if given is None or isinstance(given, str):
        return given
    raise ConfigurationError(
        f"{name}={given!r} is neither a scope ('offline_access') nor a dictionary of parameters"
        " ({'access_type': 'offline'}).",
        row="option-value",
    )


def refuse_signed_mode(name: str, params: t.Mapping[str, t.Any]) -> None:
    """Check that no parameters ask for signed responses, because the handler must expect them.

    :param name: the option that has them.
    :raises ConfigurationError: they do.
    """
    mode = str(params.get("response_mode"))
    if mode.endswith("jwt"):
        raise ConfigurationError(
            f"{name} can't have response_mode={mode!r}, because the answer would not be checked."
            f" Give the handler the option: response_mode={mode!r}.",
            row="signed-response",
        )


def refuse_unknown_names(what: str, known: t.Collection[str], given: t.Iterable[str]) -> None:
    """Check the names of keyword arguments.

    :param what: the name of what is called, for the error.
    :raises TypeError: a name is not known. The text suggests the one
        that is spelled most similarly, or lists all.
    """
    for name in given:
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            names = f"It has: {', '.join(sorted(known))}."
            hint = f"Did you mean {similar[0]}?" if similar else names
            raise TypeError(f"{what} has no option {name!r}. {hint} {see('unknown-option')}")
