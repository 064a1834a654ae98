"""What sent a request: a browser, a script, a prefetch, a page of this origin."""

from __future__ import annotations

import enum
import re
import typing as t

from flask import Request, request

_NOTHING = re.compile(r"q=0(\.0*)?")

#: The headers by which browsers announce a prefetch, now or formerly.
PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_PURPOSES = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in PURPOSES)
#: The most characters of a browser's ``User-Agent`` that are kept.
MAX_NAME = 200


class UserAgent(enum.Enum):
    """The kinds of clients that get different responses."""

    #: A browser's window that goes to a page. It can be redirected to a sign-in and back.
    NAVIGATION = enum.auto()
    #: A browser that would lose something by a redirect: a form's POST, a frame.
    PAGE = enum.auto()
    #: A browser that fetches a page before anybody goes there.
    PREFETCH = enum.auto()
    HTMX = enum.auto()
    #: A script or a program.
    API = enum.auto()


def read_header(environ: t.Mapping[str, t.Any], name: str) -> str | None:
    """Return a header of the request that an environ describes, or None.

    `Request.headers` raises and catches an error for each missing header, and most of the headers
    that are looked for here are missing.
    """
    value: str | None = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
    return value


def find_user_agent(request: Request) -> UserAgent:
    """Return the kind of client, by Fetch Metadata, or else by ``Accept``."""
    environ = request.environ
    if is_prefetch(request):
        return UserAgent.PREFETCH
    if read_header(environ, "HX-Request") == "true":
        return UserAgent.HTMX
    mode = read_header(environ, "Sec-Fetch-Mode")
    if mode is not None:
        if mode != "navigate":
            return UserAgent.API
        in_window = is_navigation(request)
    elif read_header(environ, "X-Requested-With"):
        return UserAgent.API
    elif "text/html" in _accepted(read_header(environ, "Accept") or ""):
        in_window = is_navigation(request)
    else:
        return UserAgent.API
    return UserAgent.NAVIGATION if in_window and is_safe_method(request) else UserAgent.PAGE


def is_prefetch(request: Request) -> bool:
    """Return True if a browser fetches a page before anybody goes there."""
    purposes = " ".join(filter(None, map(request.environ.get, _PURPOSES))).lower()
    return bool(purposes) and any(word in purposes for word in ("prefetch", "prerender", "preview"))


def _accepted(accept: str) -> set[str]:
    """Return the media types that are accepted by name, without those of ``q=0``."""
    ranges = (re.sub(r"\s", "", each).lower().split(";") for each in accept.split(","))
    return {kind for kind, *params in ranges if not any(map(_NOTHING.fullmatch, params))}


def is_navigation(request: Request) -> bool:
    """Return True if a page is fetched for a window, and not for a frame or as a part of a page.

    A service worker that passes a window's request on makes its destination ``empty``. A download
    has the same destination, but does not accept ``text/html``.
    """
    environ = request.environ
    dest = read_header(environ, "Sec-Fetch-Dest")
    if dest == "empty" and read_header(environ, "Sec-Fetch-Mode") == "navigate":
        return "text/html" in _accepted(read_header(environ, "Accept") or "")
    return dest is None or dest == "document"


def is_safe_method(request: Request) -> bool:
    """Return True if a request only reads: RFC 9110, section 9.2.1."""
    return request.method in {"GET", "HEAD"}


def own_origin(request: Request) -> str:
    """Return the origin that a request was sent to, as browsers write it."""
    return f"{request.scheme}://{request.host}".lower()


def is_same_origin(request: Request) -> bool | None:
    """Return True if a page of this origin sent a request; None if nothing says so.

    Another port or subdomain is ``same-site``, but another origin. See docs/security.md, D3.
    """
    environ = request.environ
    site = read_header(environ, "Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = read_header(environ, "Origin")
    if origin is None or origin == "null":
        return None
    return origin == own_origin(request)


def browser_name() -> str | None:
    """Return the ``User-Agent`` of this request, shortened and printable; None if it has none."""
    sent = read_header(request.environ, "User-Agent") or ""
    return "".join(filter(str.isprintable, sent[:MAX_NAME])) or None
