"""What a proxy says of the visitor's request, where the app does not read it."""

from __future__ import annotations

import logging
import re

from flask import request

from ..config import server_name
from ..protocol.errors import see
from ..protocol.json_input import to_one_line
from ..session.extension import current_extension
from ..session.registration import Registration
from .user_agent import read_header

log = logging.getLogger("flask_oauth2_login")

_FORWARDED_PROTO = re.compile(r'\bproto="?https\b', re.I)


def warn_of_unread_proxy(registration: Registration, redirect_uri: str) -> None:
    """Warn once if a proxy's headers contradict the request, because ProxyFix is missing.

    The redirect URI and the cookies are then made for http, or for a host that visitors don't see.
    """
    wrong = []
    if not request.is_secure and _says_https():
        wrong.append("a header such as X-Forwarded-Proto says https, and the request says http")
    host = _first("X-Forwarded-Host")
    if host and host != request.host and not (registration.handler.redirect_uri or server_name()):
        wrong.append(
            f"X-Forwarded-Host says {to_one_line(host)[:100]!r}, and the request says"
            f" {to_one_line(request.host)[:100]!r}"
        )
    if wrong and current_extension().once("proxy"):
        log.warning(
            "%s: %s. The redirect URI that is sent is %s. If the app is behind a proxy that ends"
            " TLS, let it read the proxy's headers: from werkzeug.middleware.proxy_fix import"
            " ProxyFix; app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1). %s",
            registration.log_name,
            "; ".join(wrong),
            to_one_line(redirect_uri)[:300],
            see("proxy"),
        )


def _says_https() -> bool:
    proto = _first("X-Forwarded-Proto")
    proto = _first("X-Forwarded-Scheme") if proto is None else proto
    if proto is not None and proto.lower() == "https":
        return True
    ssl = _first("X-Forwarded-Ssl")
    if ssl is not None and ssl.lower() == "on":
        return True
    # RFC 7239, section 5.4.
    return bool(_FORWARDED_PROTO.search(_first("Forwarded") or ""))


def _first(header: str) -> str | None:
    """Return the first element of a header: that of the proxy next to the visitor."""
    value = read_header(request.environ, header)
    return value and value.partition(",")[0].strip()
