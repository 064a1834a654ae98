"""Pages for people, and problem details for programs."""

from __future__ import annotations

import re
import secrets
import typing as t

from flask import Response, json, make_response, render_template, request
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, default_exceptions
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.urls import iri_to_uri

from ..config import default_next
from ..protocol.errors import AuthorizationError, ProviderError, StoreError, UnmetDemandError
from .user_agent import UserAgent, find_user_agent

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

# A URL that can be sent as it is.
_ENCODED = re.compile(r"[!-~]+")

#: The error codes with which this extension, not the provider, refuses a sign-in.
OWN_CODES = frozenset({"invalid_state", "invalid_issuer", "invalid_request", "invalid_id_token"})

#: The title and the sentence that a visitor reads, by status. The cause is in the log.
EXPLANATIONS: t.Mapping[int, tuple[str, str]] = {
    400: (
        "Signing in did not work",
        "The answer that came back does not belong to a sign-in here.",
    ),
    401: ("Please sign in", "This page is for people who have signed in."),
    403: ("Not allowed", "Your account may not open this page."),
    502: ("Signing in is not possible", "The sign-in service answered with something odd."),
    503: ("Not available right now", "A service that this page needs does not answer."),
}


def render_page(
    template: str, status: int, *, has_form: bool = False, **context: t.Any
) -> Response:
    """Return one of our pages, with a Content-Security-Policy that allows nothing else."""
    nonce = secrets.token_urlsafe(16)
    html = render_template(f"oauth2_login/{template}", csp_nonce=nonce, **context)
    response = make_response(html, status)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return set_no_store(response, has_form)


def allow_own_frames(page: Response) -> None:
    """Allow pages of the same origin to show a page of ours in a frame."""
    policy = page.headers["Content-Security-Policy"]
    page.headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", "frame-ancestors 'self'"
    )


class _Redirect(Response):
    """A redirect to a URL that is encoded already. Werkzeug's redirect encodes it again."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:  # noqa: ARG002
        return self.headers


def redirect_to(url: str) -> Response:
    """Return a redirect without a body, because no browser shows one."""
    location = url if _ENCODED.fullmatch(url) else iri_to_uri(url)
    return _Redirect(status=302, headers=[("Location", location), ("Content-Length", "0")])


def redirect_page(url: str) -> Response:
    """Return a page that goes on to ``url`` at once, as a request from our own origin.

    It replaces a redirect after a cross-site request, and after a POST, where
    ``form-action 'self'`` blocks a redirect to another host.
    """
    return render_page("continue.html", 200, url=url)


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
    title, text, detail = _explain(error, status)
    # The same request again would lead to the same response.
    home = default_next() if isinstance(error, UnmetDemandError) else None
    if find_user_agent(request) in {UserAgent.API, UserAgent.HTMX}:
        response = render_problem(status, detail or text)
    else:
        response = render_page(
            "error.html",
            status,
            title=title,
            text=text,
            detail=detail,
            url=None if home else again_url,
            home=home,
        )
    if isinstance(error, (ProviderError, StoreError)) and isinstance(error.retry_after, int):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def error_page(status: int, text: str | None = None) -> HTTPException:
    """Return an HTTP error to raise, whose response is our page, or problem details.

    :param text: a sentence for the visitor, in place of the general one for the status.
    """
    error: HTTPException = default_exceptions[status](text)
    error.response = render_error(error)
    return error


def _explain(error: HTTPException, status: int) -> tuple[str, str, str | None]:
    """Return the title, the sentence and the provider's own words for an error."""
    phrase = HTTP_STATUS_CODES[status]
    title, text = EXPLANATIONS.get(status, (phrase, phrase))
    code, own_words = getattr(error, "error", None), _own_words(error)
    if code == "access_denied":
        return "Sign-in cancelled", "You are not signed in, and nothing has changed.", own_words
    if code is not None and code not in OWN_CODES:
        return title, f"The sign-in service refused: {code}.", own_words
    return title, own_words or text, None


def _own_words(error: HTTPException) -> str | None:
    """Return the error's own sentence if a visitor may read it."""
    words = error.description if type(error) in {BadRequest, Forbidden} else None
    if isinstance(error, UnmetDemandError):
        words = error.sentence
    if isinstance(error, AuthorizationError):
        words = error.error_description
    if not words or words == type(error).description:
        return None
    return words[0].upper() + words[1:].rstrip(".") + "."
