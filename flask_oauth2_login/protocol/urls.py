"""URLs: joining, adding parameters, and which hosts a secret may go to."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .errors import ConfigurationError

DEFAULT_PORTS = {"http": 80, "https": 443}


def is_absolute(url: str) -> bool:
    """Whether a URL begins with a scheme and a host. One in its query makes none."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url))


def join(base: str, path: str) -> str:
    """Append ``path`` to ``base`` with one slash between; an absolute URL stands as it is."""
    if is_absolute(path):
        return path
    if not path:
        return base
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def add_params(url: str, params: t.Mapping[str, t.Any]) -> str:
    """Add query parameters, each encoded once. The URL's own stay, unless they have the same name.

    A list or tuple repeats the parameter. A dictionary, such as ``claims``, is sent as JSON. None
    leaves the parameter out.
    """
    parts = urlsplit(url)
    added = [
        (name, json.dumps(value) if isinstance(value, t.Mapping) else value)
        for name, given in params.items()
        for value in (given if isinstance(given, (list, tuple)) else (given,))
        if value is not None
    ]
    query = parts.query
    if any(name in params for name, _ in parse_qsl(query, keep_blank_values=True)):
        query = urlencode([pair for pair in parse_qsl(query, True) if pair[0] not in params])
    new = urlencode(added, quote_via=quote, safe="")
    return urlunsplit(parts._replace(query="&".join(filter(None, (query, new)))))


def origin(url: str) -> str:
    """Scheme, host and port of a URL, as the HTTP client will read it; ``""`` where it has none.

    Parsed by urllib3, which also opens the connection: two parsers that differ over
    ``https://a\\@b/`` would check one host and send the token to another.
    """
    try:
        parts = parse_url(url)
    except LocationParseError:
        return ""
    if not parts.scheme or not parts.host:
        return ""
    return f"{parts.scheme}://{parts.host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_http(url: str) -> bool:
    """Return True if a URL is plain http to this machine itself.

    What may go there in the clear must not pass by a proxy that the environment names.
    """
    return origin(url).startswith("http://") and is_loopback(parse_url(url).host or "")


def is_secure_url(url: str, http_hosts: t.Collection[str] = ()) -> bool:
    """Whether nobody can listen in: https, or a loopback host, or one named in ``http_hosts``."""
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
    """Return ``url``, or raise :exc:`ConfigurationError` where a secret would go in the clear.

    RFC 6749, section 3.2 and RFC 9700, section 2.6: TLS, but for a provider on this machine.
    """
    if not is_secure_url(url, http_hosts):
        raise ConfigurationError(
            f"{what} is {url!r}. It gets secrets, so it must be an absolute https:// URL"
            " (http:// for a provider on this machine only, or for a host named in http_hosts)."
        )
    return url
