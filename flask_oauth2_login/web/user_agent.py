"""Who is asking, and where they may be sent."""

from __future__ import annotations

import enum
import re
from urllib.parse import quote, unquote, urlsplit

from flask import Request, current_app, request

#: Characters of a path to come back to.
MAX_NEXT = 2000

_NOTHING = re.compile(r"q=0(\.0*)?")

#: Those of a path that mean themselves: RFC 3986, section 3.3.
PATH_CHARACTERS = "/:@!$&'()*+,;=-._~"
#: Where browsers say, or said, that they only look ahead.
PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


class UserAgent(enum.Enum):
    """What sent a request, as far as its answer depends on it."""

    #: A browser's window that goes to a page: it can be sent elsewhere and back.
    NAVIGATION = enum.auto()
    #: A browser that shows a page and loses something if it is sent away: a form's POST, a frame.
    PAGE = enum.auto()
    #: A browser that only looks ahead.
    PREFETCH = enum.auto()
    HTMX = enum.auto()
    #: A script, or a program.
    API = enum.auto()


def find_user_agent(request: Request) -> UserAgent:
    """Tell by Fetch Metadata, and without that by ``Accept``."""
    headers = request.headers
    if only_looks_ahead(request):
        return UserAgent.PREFETCH
    if headers.get("HX-Request") == "true":
        return UserAgent.HTMX
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        if mode != "navigate":
            return UserAgent.API
        in_window = headers.get("Sec-Fetch-Dest", "document") == "document"
    elif headers.get("X-Requested-With"):
        return UserAgent.API
    elif "text/html" in _accepted(headers.get("Accept", "")):
        in_window = headers.get("Sec-Fetch-Dest", "document") == "document"
    else:
        return UserAgent.API
    return UserAgent.NAVIGATION if in_window and _is_safe(request) else UserAgent.PAGE


def only_looks_ahead(request: Request) -> bool:
    """Whether a browser fetches a page before anybody goes there."""
    purposes = " ".join(filter(None, map(request.headers.get, PURPOSES))).lower()
    return any(word in purposes for word in ("prefetch", "prerender", "preview"))


def _accepted(accept: str) -> set[str]:
    """What is accepted by name; ``q=0`` says that it is not."""
    ranges = (re.sub(r"\s", "", each).lower().split(";") for each in accept.split(","))
    return {kind for kind, *params in ranges if not any(map(_NOTHING.fullmatch, params))}


def _is_safe(request: Request) -> bool:
    return request.method in {"GET", "HEAD"}


def safe_next(target: str | None) -> str | None:
    """A path on this host, or None for anything that a browser could read as something else."""
    if not target or len(target) > MAX_NEXT or not target.startswith("/"):
        return None
    path = target.partition("?")[0].partition("#")[0]
    # A server or a proxy in between may decode it once more.
    for form in (target, path, unquote(path), unquote(unquote(path))):
        if "\\" in form or any(ord(char) < 32 or ord(char) == 127 for char in form):
            return None
        # A browser drops "." and ".." first.
        if re.sub(r"^(/\.{1,2}(?=/))+", "", form).startswith("//"):
            return None
    return target


def default_next() -> str:
    """Where a visitor lands who came from nowhere in particular."""
    return str(current_app.config.get("OAUTH2_LOGIN_DEFAULT_NEXT") or f"{request.script_root}/")


def here() -> str | None:
    """The page that the visitor is at, to come back to; None where there is none."""
    if request.headers.get("HX-Request") == "true":
        return own_path(request.headers.get("HX-Current-URL"))
    if not _is_safe(request) or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return own_path(request.referrer)
    path = quote(request.script_root + request.path, safe=PATH_CHARACTERS)
    query = request.query_string.decode("latin-1").replace("\\", "%5C")
    return safe_next(f"{path}?{query}" if query else path)


def own_path(url: str | None) -> str | None:
    """The path of a URL, if that is this host's."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if f"{parts.scheme}://{parts.netloc}" != own_origin(request):
        return None
    return safe_next(parts._replace(scheme="", netloc="", fragment="").geturl())


def own_origin(request: Request) -> str:
    """The origin that a request came to, as browsers write it."""
    return f"{request.scheme}://{request.host}".lower()


def is_same_origin(request: Request) -> bool | None:
    """Whether a page of ours sent a POST; None where nothing tells (docs/security.md, D3).

    A sibling port or subdomain is ``same-site``, and not one of ours.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    if origin is None or origin == "null":
        return None
    return origin == own_origin(request)
