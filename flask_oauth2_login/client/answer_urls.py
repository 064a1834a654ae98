"""URLs that a provider's answers complete, such as ``https://{token.host}/api``.

Some providers have a host for each customer. They name it in the token response (``{token.X}``), in
the authorization response (``{callback.X}``) or in the UserInfo response (``{userinfo.X}``). A
visitor can change what comes through the browser, and the completed URLs receive secrets. So the
host must belong to the provider: it must be below the domain that the URL has after the braces, or
be one of ``answer_domains`` or below one.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote

from ..protocol.errors import AuthorizationError, ConfigurationError, ProviderAnswerError
from ..protocol.identity import find_path
from ..protocol.json_input import names_of
from .option_values import list_of

Sources = t.Mapping[str, t.Mapping[str, t.Any]]

#: Which answers may complete a URL.
SOURCES_OF: t.Mapping[str, tuple[str, ...]] = {
    "token_url": ("callback",),
    "refresh_url": ("callback", "token"),
    "userinfo_url": ("callback", "token"),
    "email_url": ("callback", "token", "userinfo"),
    "api_url": ("callback", "token", "userinfo"),
}
#: The secret members of a token. They can be in a URL's path or query, and not in ``api_url``.
SECRETS = ("access_token", "refresh_token", "id_token")
#: The most characters that a value can have.
MAX_VALUE = 500

_PLACE = re.compile(r"\{(token|callback|userinfo)\.([A-Za-z0-9_.-]+)\}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_HTTPS_URL = re.compile(r"https://([^/?#\\@\s:]+)((?:/[A-Za-z0-9._~-]+)*)/?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def has_places(text: t.Any) -> bool:
    """Return True if an option's value has places that answers fill, such as ``{token.host}``."""
    return isinstance(text, str) and _PLACE.search(text) is not None


def read_domains(name: str, given: t.Iterable[str] | None) -> frozenset[str]:
    """Return the option ``answer_domains``, in lower case.

    :raises ConfigurationError: one of them is not the name of a domain, and so no host would be
        below it.
    """
    domains = frozenset(each.lower() for each in list_of(name, given))
    for domain in sorted(domains):
        if not (_HOST.fullmatch(domain) and "." in domain):
            raise ConfigurationError(
                f"{name} has {domain!r}, which is not a domain: write it like provider.example,"
                " which stands for all hosts below it, too.",
                row="url-from-answer",
            )
    return domains


def places_in(texts: t.Iterable[t.Any], source: str) -> set[str]:
    """Return the names of the values that options take from an answer."""
    found = (_PLACE.findall(text) for text in texts if isinstance(text, str))
    return {name for pairs in found for where, name in pairs if where == source}


def check_url(option: str, url: str, domains: t.Collection[str]) -> None:
    """Check a handler's option that is a URL with places in it.

    :raises ConfigurationError: no answer can complete this URL, or one could lead it to any host.
    """
    known = SOURCES_OF.get(option, ())
    for source, name in _PLACE.findall(url):
        if source not in known or (name in SECRETS and option == "api_url"):
            raise ConfigurationError(
                f"{option}={url!r} can't have {{{source}.{name}}}: {option} takes values from"
                f" {' and '.join(known) or 'no answer'}, and api_url never has a token.",
                row="url-from-answer",
            )
    head = _head(url)
    if not _PLACE.search(head):
        return
    if any(name in SECRETS for _, name in _PLACE.findall(head)):
        raise ConfigurationError(
            f"{option}={url!r} can't have a token in its host.", row="url-from-answer"
        )
    if _PLACE.match(url) and not re.match(r"[/?#]|\Z", url[len(head) :]):
        raise ConfigurationError(
            f"{option}={url!r} would append to the host that an answer names, which makes another"
            f" host of it: write a slash after {head}.",
            row="url-from-answer",
        )
    if not domains and not _own_domain(head):
        raise ConfigurationError(
            f"{option}={url!r} takes its host from an answer, which could name any host: set"
            " answer_domains=['provider.example'] to the provider's domains.",
            row="url-from-answer",
        )


def complete(option: str, url: str, sources: Sources, domains: t.Collection[str]) -> str:
    """Return a URL with the values of answers filled in.

    :param option: the option's name, for errors.
    :param sources: the answers by name.
    :param domains: the option ``answer_domains``.
    :raises AuthorizationError: the authorization response lacks a value, or has one that is not
        allowed.
    :raises ProviderAnswerError: another answer lacks a value, or has one that is not allowed.
    """
    head = _head(url)
    rest = url[len(head) :]
    if found := _PLACE.match(head):
        value = _find(option, found, sources)
        parts = _HTTPS_URL.fullmatch(value)
        if parts is None or not _is_below(parts[1], domains):
            _refuse(option, found, f"is not an https URL at {' or '.join(sorted(domains))}")
        head = value.rstrip("/")
    elif _PLACE.search(head):
        allowed = domains or {_own_domain(head)}
        first = t.cast("re.Match[str]", _PLACE.search(head))
        host = _PLACE.sub(lambda found: _find(option, found, sources), head)
        if not _is_below(host.partition("://")[2], allowed):
            _refuse(option, first, f"leads to no host at {' or '.join(sorted(allowed))}")
        head = host

    def segment(found: re.Match[str]) -> str:
        value = _find(option, found, sources)
        if value in {".", ".."}:
            _refuse(option, found, "is not allowed in a path")
        return quote(value, safe="")

    return head + _PLACE.sub(segment, rest)


def complete_params(
    option: str, params: t.Mapping[str, t.Any], sources: Sources
) -> dict[str, t.Any]:
    """Return parameters with the values of the authorization response filled in."""

    def fill(value: str) -> str:
        return _PLACE.sub(lambda found: _find(option, found, sources), value)

    return {
        name: fill(value) if isinstance(value, str) else value for name, value in params.items()
    }


def path_before_secrets(url: str) -> str:
    """Return what a URL's path has before a token; ``""`` if the URL has no token."""
    rest = url[len(_head(url)) :]
    if not any(name in SECRETS for _, name in _PLACE.findall(rest)):
        return ""
    return _PLACE.split(rest)[0].partition("?")[0]


def _head(url: str) -> str:
    """Return what a URL has before its path: the scheme and the host, or one place for both."""
    if found := _PLACE.match(url):
        return found[0]
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{re.split('[/?#]', rest, maxsplit=1)[0]}" if mark else ""


def _own_domain(head: str) -> str:
    """Return the domain that a URL names after its last place; ``""`` if it names none."""
    last = _PLACE.split(head)[-1]
    is_domain = last.startswith(".") and "." in last[1:] and bool(_HOST.fullmatch(last[1:]))
    return last[1:] if is_domain else ""


def _is_below(host: str, domains: t.Collection[str]) -> bool:
    # Checked as it came: some letters beyond ASCII are ASCII letters in lower case.
    name = host.lower() if _HOST.fullmatch(host) else ""
    return bool(name) and any(name == domain or name.endswith(f".{domain}") for domain in domains)


def _find(option: str, found: re.Match[str], sources: Sources) -> str:
    """Return the value for a place as text."""
    answer = sources.get(found[1]) or {}
    value = find_path(answer, found[2])
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not text or len(text) > MAX_VALUE or _CONTROL.search(text):
        _refuse(option, found, f"is missing or not usable. The answer has {names_of(answer)}")
    return text


def _refuse(option: str, found: re.Match[str], reason: str) -> t.NoReturn:
    what = f"{option} needs {found[0]}, which {reason}"
    if found[1] == "callback":
        # It came through the browser, so the visitor may have changed it.
        raise AuthorizationError("invalid_request", f"{what}.")
    raise ProviderAnswerError(f"The provider's answer does not fit the options: {what}.")
