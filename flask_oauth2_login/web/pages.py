"""The answers that people and programs read: pages, problem details, and which of the two."""

from __future__ import annotations

import secrets
import typing as t

from flask import Response, json, make_response, render_template, request
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from ..protocol.errors import AuthorizationError, ProviderError, StoreError
from .user_agent import UserAgent, find_user_agent

#: The codes of answers that we refuse, not the provider.
OWN_CODES = frozenset({"invalid_state", "invalid_issuer", "invalid_request", "invalid_id_token"})

#: What a visitor reads, for each status. The log has the cause.
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
    """A page of ours, which nothing can be put into and nobody can frame."""
    nonce = secrets.token_urlsafe(16)
    html = render_template(f"oauth2_login/{template}", csp_nonce=nonce, **context)
    response = make_response(html, status)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return set_no_store(response, has_form)


def redirect_page(url: str) -> Response:
    """A page that goes on to ``url`` at once, as a request from our own origin.

    Where a redirect would not do: after a request from another site, and after a POST, for
    ``form-action 'self'`` blocks a redirect to another host.
    """
    return render_page("continue.html", 200, url=url)


def set_no_store(response: Response, has_form: bool = False) -> Response:
    """Say that an answer is nobody else's, and that its URL stays here."""
    response.headers["Cache-Control"] = "no-store"
    # A page without a referrer posts `Origin: null`, which tells nothing.
    response.headers["Referrer-Policy"] = "same-origin" if has_form else "no-referrer"
    return response


def render_problem(status: int, detail: str, **members: t.Any) -> Response:
    """Problem details for a program: RFC 9457."""
    problem = {"title": HTTP_STATUS_CODES[status], "status": status, "detail": detail, **members}
    response = make_response(json.dumps(problem), status)
    response.content_type = "application/problem+json"
    return set_no_store(response)


def render_error(error: HTTPException, again_url: str | None = None) -> Response:
    """The answer to an error that ends a request.

    :param again_url: where a person may try once more.
    """
    status = error.code or 500
    title, text, detail = _explain(error, status)
    if find_user_agent(request) in {UserAgent.ResourceServer, UserAgent.HTMX}:
        response = render_problem(status, detail or text)
    else:
        response = render_page(
            "error.html", status, title=title, text=text, detail=detail, url=again_url
        )
    if isinstance(error, (ProviderError, StoreError)) and isinstance(error.retry_after, int):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _explain(error: HTTPException, status: int) -> tuple[str, str, str | None]:
    """A title, a sentence, and what the provider has to say, for whoever sees it."""
    phrase = HTTP_STATUS_CODES[status]
    title, text = EXPLANATIONS.get(status, (phrase, phrase))
    code, own_words = getattr(error, "error", None), _own_words(error)
    if code == "access_denied":
        return "Sign-in cancelled", "You are not signed in, and nothing has changed.", own_words
    if code is not None and code not in OWN_CODES:
        return title, f"The sign-in service refused: {code}.", own_words
    return title, own_words or text, None


def _own_words(error: HTTPException) -> str | None:
    """What an error says itself that a visitor may read."""
    words = error.description if type(error) in {BadRequest, Forbidden} else None
    if isinstance(error, AuthorizationError):
        words = error.error_description
    if not words or words == type(error).description:
        return None
    return words[0].upper() + words[1:].rstrip(".") + "."
