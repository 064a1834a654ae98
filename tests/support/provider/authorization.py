"""The authorization endpoint: what is asked, who consents, and what the browser takes back."""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit

from .grants import Claims, Grant
from .messages import REDIRECT, Answer, Request
from .pushed import BadAuthorizationRequest as BadAuthorizationRequest
from .pushed import read_request
from .settings import SIGNED_MODES, Settings
from .signing import Overrides, override
from .tokens import MAY_REPEAT


@dataclasses.dataclass
class AuthorizationAnswer:
    """What the browser takes back to the client."""

    redirect_uri: str
    params: dict[str, str]
    #: ``"query"`` or ``"form_post"``.
    mode: str

    @property
    def url(self) -> str:
        """Where a redirect leads."""
        joint = "&" if urlsplit(self.redirect_uri).query else "?"
        return f"{self.redirect_uri}{joint}{urlencode(self.params, doseq=True)}"


def answer_authorization(
    settings: Settings,
    query: t.Mapping[str, list[str]],
    *,
    person: Claims | None = None,
    overrides: Overrides | None = None,
) -> AuthorizationAnswer:
    """Answer a request for authorization: RFC 6749, section 4.1.1.

    :param query: the parameters, each with all of its values.
    :param person: claims laid over those of the settings' person.
    :param overrides: laid over the parameters of the answer; see `signing.override`.
    :raises BadAuthorizationRequest: neither the client nor where to redirect to is certain.
    """
    query = read_request(settings, query)
    lists = query.items()
    if repeated := [n for n, values in lists if len(values) > 1 and n not in MAY_REPEAT]:
        raise BadAuthorizationRequest(f"repeated: {', '.join(repeated)}")
    params = {name: values[0] for name, values in query.items()}
    settings.authorizations.append(params)
    if problem := settings.find_problem(params):
        raise BadAuthorizationRequest(problem)
    redirect_uri = params["redirect_uri"]

    answer: dict[str, str | None]
    if error := _find_error(settings, params):
        answer = {"error": error}
    elif settings.person is None and person is None:
        answer = {"error": "login_required" if params.get("prompt") == "none" else "access_denied"}
    else:
        resources = query.get("resource", [])
        grant = _grant(settings, params, resources, {**(settings.person or {}), **(person or {})})
        challenge = params.get("code_challenge")
        answer = {"code": settings.grants.add_code(grant, redirect_uri, challenge)}
    answer["state"] = params.get("state")
    answer["iss"] = settings.issuer if settings.send_iss else None
    present = {name: value for name, value in answer.items() if value is not None}
    mode, sent = params.get("response_mode", "query"), override(present, overrides)
    if mode in SIGNED_MODES:
        sent = {"response": settings.signed_response(sent, **settings.response_options)}
        mode = "form_post" if mode == "form_post.jwt" else "query"
    return AuthorizationAnswer(redirect_uri, sent, mode)


def _find_error(settings: Settings, params: t.Mapping[str, str]) -> str | None:
    if params.get("response_type") != "code":
        return "unsupported_response_type"
    if params.get("response_mode", "query") not in {"query", "form_post", *SIGNED_MODES}:
        return "invalid_request"
    if "code_challenge" in params:
        # A missing method would mean `plain`: RFC 7636, section 4.3.
        return None if params.get("code_challenge_method") == "S256" else "invalid_request"
    return "invalid_request" if settings.require_pkce else None


def _grant(
    settings: Settings, params: t.Mapping[str, str], resources: list[str], person: Claims
) -> Grant:
    now, auth_time = time.time(), settings.signed_in_at
    max_age = params.get("max_age")
    if "login" in params.get("prompt", "").split() or (max_age and now - auth_time > int(max_age)):
        auth_time = now
    details = params.get("authorization_details")
    return Grant(
        authorization_details=json.loads(details) if details else None,
        resources=resources,
        person=person,
        scope=settings.granted_scope or params.get("scope", ""),
        auth_time=int(auth_time),
        nonce=params.get("nonce"),
        acr=params.get("acr_values", "").split(" ")[0] or None,
        jkt=params.get("dpop_jkt"),
    )


def authorize(settings: Settings, request: Request) -> Answer:
    """The endpoint."""
    query = request.form_lists if request.method == "POST" else request.query_lists
    try:
        answer = answer_authorization(settings, query)
    except BadAuthorizationRequest as error:
        return Answer(400, f"<!doctype html><h1>Bad request</h1><p>{escape(str(error))}")
    if answer.mode == "form_post":
        return Answer(200, _form(answer, by_itself=not settings.consent_page))
    if settings.consent_page:
        link = f'<a id="consent" href="{escape(answer.url)}">Allow</a>'
        return Answer(200, f"<!doctype html><title>Consent</title>{link}")
    return REDIRECT(answer.url)


def _form(answer: AuthorizationAnswer, *, by_itself: bool) -> str:
    """OAuth 2.0 Form Post Response Mode, section 2."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in answer.params.items()
    )
    script = ' onload="document.forms[0].submit()"' if by_itself else ""
    return (
        f"<!doctype html><title>Consent</title><body{script}>"
        f'<form method="post" action="{escape(answer.redirect_uri)}">{fields}'
        '<button id="consent">Allow</button></form></body>'
    )


def query_of(url: str) -> dict[str, list[str]]:
    """The parameters of a URL, each with all of its values."""
    return parse_qs(urlsplit(url).query, keep_blank_values=True)
