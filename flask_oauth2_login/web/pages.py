"""Pages for people, and problem details for programs."""

from __future__ import annotations

import re
import typing as t
from base64 import b64encode
from hashlib import sha256
from urllib.parse import urlsplit

from flask import Response, json, make_response, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.urls import iri_to_uri

from ..config import accent_color, app_logo, app_name, content_security_policy, default_next
from ..look.colors import text_color_on
from ..look.explanations import explain
from ..look.translator import current_translator
from ..protocol.errors import ProviderError, StoreError, UnmetDemandError
from ..session.extension import current_extension
from ..session.request_scope import request_scope
from .next_url import current_page
from .user_agent import UserAgent, find_user_agent, is_navigation, is_safe_method

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

#: What older browsers call the sources of ``frame-ancestors``.
_FRAME_OPTIONS = {"'none'": "DENY", "'self'": "SAMEORIGIN"}
# A URL that can be sent as it is.
_ENCODED = re.compile(r"[!-~]+")


def render_page(
    template: str, status: int, *, has_form: bool = False, **context: t.Any
) -> Response:
    """Return one of our pages, with a Content-Security-Policy that allows nothing else."""
    accent = accent_color()
    style = render_template(
        "oauth2_login/style.css", accent=accent, accent_text=text_color_on(accent)
    )
    translator = current_translator()
    html = render_template(
        f"oauth2_login/{template}",
        lang=translator.lang,
        dir=translator.dir,
        app_name=app_name(),
        app_logo=app_logo(),
        style=Markup(style),  # noqa: S704  (of our template and colours that were checked)
        home=home_url(),
        status=status,
        **context,
    )
    response = make_response(html, status)
    policy = content_security_policy(_own_policy(style))
    if policy is not None:
        response.headers["Content-Security-Policy"] = policy
    if "frame-ancestors" not in (policy or ""):
        set_frame_ancestors(response, "'none'")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return set_no_store(response, has_form)


def _own_policy(style: str) -> str:
    """Return the policy for our own layout: one stylesheet, and images of logos."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    logos = [app_logo(), *(each.options.logo for each in current_extension().logins.values())]
    hosts = {f" {parts.scheme}://{parts.netloc}" for parts in map(urlsplit, filter(None, logos))}
    images = "".join(sorted(hosts - {" ://"}))
    return (
        f"default-src 'none'; style-src 'self' 'sha256-{digest}'; img-src 'self' data:{images};"
        " form-action 'self'; base-uri 'none'"
    )


def set_frame_ancestors(page: Response, ancestors: str) -> None:
    """Say which origins may show a page of ours in a frame.

    :param ancestors: the sources of the directive ``frame-ancestors``.
    """
    headers = page.headers
    policy = headers.get("Content-Security-Policy")
    if policy is None and ancestors in _FRAME_OPTIONS:
        # The app's own policy, which comes later, must not meet one of ours.
        headers["X-Frame-Options"] = _FRAME_OPTIONS[ancestors]
        return
    headers.pop("X-Frame-Options", None)
    kept = [each.strip() for each in (policy or "").split(";") if each.strip()]
    kept = [each for each in kept if each.split()[0] != "frame-ancestors"]
    headers["Content-Security-Policy"] = "; ".join([*kept, f"frame-ancestors {ancestors}"])


def allow_own_frames(page: Response) -> None:
    """Allow pages of the same origin to show a page of ours in a frame."""
    policy = page.headers.get("Content-Security-Policy", "")
    if "frame-ancestors" not in policy or "frame-ancestors 'none'" in policy:
        set_frame_ancestors(page, "'self'")


def home_url() -> str | None:
    """Return where a page of ours leads who does not go on; None at that place itself."""
    home = default_next()
    return None if request.script_root + request.path == home else home


def translate(text: str, /, **values: object) -> str:
    """Return a text of ours in the language of this request."""
    return current_translator().gettext(text, **values)


class _Redirect(Response):
    """A redirect to a URL that is encoded already. Werkzeug's redirect encodes it again."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:  # noqa: ARG002
        return self.headers


def redirect_to(url: str) -> Response:
    """Return a redirect without a body, because no browser shows one."""
    location = url if _ENCODED.fullmatch(url) else iri_to_uri(url)
    return _Redirect(status=302, headers=[("Location", location), ("Content-Length", "0")])


def redirect_page(url: str, title: str) -> Response:
    """Return a page that goes on to ``url`` at once, as a request from our own origin.

    It replaces a redirect after a cross-site request, and after a POST, where
    ``form-action 'self'`` blocks a redirect to another host.
    """
    return render_page("continue.html", 200, url=url, title=title)


def set_no_store(response: Response, has_form: bool = False) -> Response:
    """Forbid caching of a response, and hide its URL from other sites."""
    response.headers["Cache-Control"] = "no-store"
    # A page with "no-referrer" posts `Origin: null`, which does not prove its origin.
    response.headers["Referrer-Policy"] = "same-origin" if has_form else "no-referrer"
    return response


def render_problem(status: int, detail: str, **members: t.Any) -> Response:
    """Return problem details for a program: RFC 9457."""
    problem = {"title": HTTP_STATUS_CODES[status], "status": status, "detail": detail, **members}
    response = make_response(json.dumps(problem), status)
    response.content_type = "application/problem+json"
    return set_no_store(response)


def render_error(error: HTTPException, again_url: str | None = None) -> Response:
    """Return the response to an error: a page, or problem details for a program.

    :param again_url: the URL at which a visitor can try again.
    """
    status = error.code or 500
    provider = _find_provider()
    said = explain(error, current_translator(), provider)
    if find_user_agent(request) in {UserAgent.API, UserAgent.HTMX}:
        response = render_problem(status, said.detail or said.text)
    else:
        response = render_page(
            "error.html",
            status,
            title=said.title,
            text=said.text,
            detail=said.detail,
            # The same request again would lead to the same response.
            url=None if isinstance(error, UnmetDemandError) else again_url or _same_page(status),
            error=getattr(error, "error", None),
            error_class=type(error).__name__,
            provider=provider,
        )
    if isinstance(error, (ProviderError, StoreError)) and isinstance(error.retry_after, int):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def error_page(status: int, text: str | None = None, again_url: str | None = None) -> HTTPException:
    """Return an HTTP error to raise, whose response is our page, or problem details.

    :param text: a sentence for the visitor, in place of the general one for the status.
    :param again_url: the URL at which a visitor can try again.
    """
    error: HTTPException = default_exceptions[status](text)
    error.response = render_error(error, again_url)
    return error


def _same_page(status: int) -> str | None:
    """Return this page's path if it may work in a while."""
    is_passing = status in {502, 503} and is_safe_method(request) and is_navigation(request)
    return current_page() if is_passing else None


def _find_provider() -> str | None:
    """Return the name of the provider that this request is about; None if it is not known.

    The store may be down, so nobody is looked up.
    """
    logins = current_extension().logins
    names = [name for name in (request.blueprint, request_scope().admitted) if name in logins]
    registrations = [logins[name] for name in names] or list(logins.values())
    return registrations[0].given_label if names or len(registrations) == 1 else None
