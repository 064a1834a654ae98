"""What a proxy says of the visitor's request, where the app does not read it."""

from __future__ import annotations

import logging
import re

from flask import request

from ..config import server_name
from ..protocol.json_input import to_one_line
from ..session.extension import current_extension
from ..session.registration import Registration

log = logging.getLogger("flask_oauth2_login")

_FORWARDED_PROTO = re.compile(r'\bproto="?https\b', re.I)


def warn_of_unread_proxy(registration: Registration, redirect_uri: str) -> None:
    """Warn once if a proxy's headers contradict the request, because ProxyFix is missing.

    The redirect URI and the cookies are then made for http, or for a host that visitors don't see.
    """
    wrong = []
    if not request.is_secure and _says_https():
        wrong.append("a header such as X-Forwarded-Proto says https, and the request says http")
    host = request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip()
    is_made_of_host = not registration.handler.redirect_uri and not server_name()
    if host and host != request.host and is_made_of_host:
        wrong.append(
            f"X-Forwarded-Host says {to_one_line(host)[:100]!r}, and the request says"
            f" {to_one_line(request.host)[:100]!r}"
        )
    if wrong and current_extension().once("proxy"):
        log.warning(
            "%s: %s. The redirect URI that is sent is %s. If the app is behind a proxy that ends"
            " TLS, let it read the proxy's headers: from werkzeug.middleware.proxy_fix import"
            " ProxyFix; app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1).",
            registration.name,
            "; ".join(wrong),
            to_one_line(redirect_uri)[:300],
        )


def _says_https() -> bool:
    headers = request.headers
    proto = headers.get("X-Forwarded-Proto", headers.get("X-Forwarded-Scheme", ""))
    if proto.partition(",")[0].strip().lower() == "https":
        return True
    if headers.get("X-Forwarded-Ssl", "").lower() == "on":
        return True
    # RFC 7239, section 5.4. The first element is that of the proxy next to the visitor.
    return bool(_FORWARDED_PROTO.search(headers.get("Forwarded", "").partition(",")[0]))
