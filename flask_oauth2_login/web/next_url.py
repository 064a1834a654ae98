"""Pages to come back to after a sign-in: a path on this host, never an open redirect."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from flask import request

from .user_agent import is_navigation, is_safe_method, own_origin, read_header

#: The most characters of a path to come back to.
MAX_NEXT = 2000
# A backslash, which browsers read as a slash, and control characters, which they leave out.
_MISREAD = re.compile(r"[\x00-\x1f\x7f\\]")
# What a browser removes before it looks for "//".
_DOTS = re.compile(r"^(/\.{1,2}(?=/))+")

#: The characters that a path may have unescaped: RFC 3986, section 3.3.
PATH_CHARACTERS = "/:@!$&'()*+,;=-._~"


def safe_next(target: str | None) -> str | None:
    """Return a path on this host, or None for what a browser could read as something else.

    An empty query is left out.
    """
    if not target or len(target) > MAX_NEXT or not target.startswith("/"):
        return None
    path = target.partition("?")[0].partition("#")[0]
    # A server or a proxy may decode the path once more.
    for form in (target, path, unquote(path), unquote(unquote(path))):
        if _MISREAD.search(form) or _DOTS.sub("", form).startswith("//"):
            return None
    # Flask's `request.full_path` ends with a question mark if there is no query.
    return path if target == f"{path}?" else target


def current_page() -> str | None:
    """Return the path of the page that the visitor is on; None if there is none."""
    if read_header(request.environ, "HX-Request") == "true":
        return own_path(read_header(request.environ, "HX-Current-URL"))
    if not is_safe_method(request) or not is_navigation(request):
        return own_path(request.referrer)
    path = quote(request.script_root + request.path, safe=PATH_CHARACTERS)
    query = request.query_string.decode("latin-1").replace("\\", "%5C")
    return safe_next(f"{path}?{query}" if query else path)


def own_path(url: str | None) -> str | None:
    """Return the path and query of a URL on this host; None for other URLs."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if f"{parts.scheme}://{parts.netloc}" != own_origin(request):
        return None
    return safe_next(parts._replace(scheme="", netloc="", fragment="").geturl())
