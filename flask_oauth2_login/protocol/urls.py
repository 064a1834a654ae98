"""URLs: joining them, adding parameters, and which of them may receive a secret."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .errors import ConfigurationError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A URL without a query. A query can be added to it without parsing.
_BARE = re.compile(r"https?://[!-\"$->@-Z\\^-~]+")
# What `quote` would leave as it is.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")

DEFAULT_PORTS = {"http": 80, "https": 443}


def is_absolute(url: str) -> bool:
    """Return True if a URL begins with a scheme. A URL within its query does not count."""
    return _SCHEME.match(url) is not None


def join(base: str, path: str) -> str:
    """Append ``path`` to ``base`` with one slash between. Return an absolute ``path`` unchanged."""
    if is_absolute(path):
        return path
    if not path:
        return base
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def add_params(url: str, params: t.Mapping[str, t.Any]) -> str:
    """Return a URL with query parameters added. They replace the URL's own of the same name.

    :param params: a list or tuple repeats a parameter. A mapping, such as ``claims``, or a list of
        mappings is sent as JSON. None removes the parameter.
    """
    new = _join_pairs(params, _quote)
    if _BARE.fullmatch(url):
        return f"{url}?{new}" if new else url
    parts = urlsplit(url)
    query = parts.query
    if any(name in params for name, _ in parse_qsl(query, keep_blank_values=True)):
        query = urlencode([pair for pair in parse_qsl(query, True) if pair[0] not in params])
    return urlunsplit(parts._replace(query="&".join(filter(None, (query, new)))))


def encode_form(params: t.Mapping[str, t.Any]) -> str:
    """Return parameters as a form, whose values are given as for :func:`add_params`."""
    return _join_pairs(params, quote_for_form)


def quote_for_form(value: t.Any) -> str:
    """Return a value as forms encode it: `quote_plus`, which takes longer for usual values."""
    is_plain = isinstance(value, str) and _UNRESERVED.fullmatch(value)
    return value if is_plain else quote_plus(value if isinstance(value, bytes) else str(value))


def _join_pairs(params: t.Mapping[str, t.Any], quoted: t.Callable[[t.Any], str]) -> str:
    return "&".join(
        [
            f"{quoted(name)}={quoted(value)}"
            for name, given in params.items()
            for value in _values(given)
            if value is not None
        ]
    )


def _values(given: t.Any) -> t.Sequence[t.Any]:
    """Return the values of a parameter: several if it is a list, else one."""
    if given is None or isinstance(given, str):
        return (given,)
    given = json_param(given)
    return [json_param(each) for each in given] if isinstance(given, (list, tuple)) else (given,)


def _quote(value: t.Any) -> str:
    if isinstance(value, str) and _UNRESERVED.fullmatch(value):
        return value
    return quote(value if isinstance(value, (str, bytes)) else str(value), safe="")


def json_param(value: t.Any) -> t.Any:
    """Return a parameter's value: a mapping, or a list of mappings, as JSON."""
    if isinstance(value, str):
        return value
    is_list = isinstance(value, (list, tuple)) and bool(value)
    if isinstance(value, t.Mapping) or (is_list and all(isinstance(v, t.Mapping) for v in value)):
        return json.dumps(value)
    return value


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL; ``""`` if it has none.

    urllib3 parses the URL, because it also opens the connection. Two parsers that differ over
    ``https://a\\@b/`` would check one host and send the token to another.
    """
    try:
        parts = parse_url(url)
    except LocationParseError:
        return ""
    if not parts.scheme or not parts.host:
        return ""
    return f"{parts.scheme}://{parts.host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


def replace_origin(url: str, old: str, new: str) -> str:
    """Return a URL with the base ``new`` in place of its origin, if that is the origin of ``old``.

    Of ``old`` only the origin counts. Whatever path ``new`` has comes before the URL's own.
    """
    if not origin(url) or origin(url) != origin(old):
        return url
    parts = urlsplit(url)
    rest = urlunsplit(parts._replace(scheme="", netloc=""))
    return f"{new.rstrip('/')}/{rest.lstrip('/')}"


def is_loopback(host: str) -> bool:
    """Return True if a host name or address is the loopback interface's."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_http(url: str) -> bool:
    """Return True if a URL is plain http to this machine itself.

    Such requests must not go through a proxy that the environment names.
    """
    return origin(url).startswith("http://") and is_loopback(parse_url(url).host or "")


def is_secure_url(url: str, http_hosts: t.Collection[str] = ()) -> bool:
    """Return True if a URL is https, or http to a loopback host or one of ``http_hosts``."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return False
    host = parts.host or ""
    if parts.scheme == "https":
        return bool(host)
    named = {host, host.strip("[]"), f"{host}:{parts.port}"}
    return parts.scheme == "http" and (is_loopback(host) or not named.isdisjoint(http_hosts))


def require_https(url: str, what: str, http_hosts: t.Collection[str] = ()) -> str:
    """Return a URL that receives secrets.

    RFC 6749, section 3.2, and RFC 9700, section 2.6 require TLS.

    :param what: the URL's name, as the subject of the error's sentence.
    :raises ConfigurationError: the URL is not https, nor http to a loopback host or one of
        ``http_hosts``.
    """
    if not is_secure_url(url, http_hosts):
        raise ConfigurationError(
            f"{what} is {url!r}. It receives secrets, so it must be an absolute https:// URL"
            " (http:// for a provider on this machine only, or for a host named in http_hosts).",
            row="insecure-url",
        )
    return url
