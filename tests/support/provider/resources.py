"""What an access token opens: UserInfo and the API. And what needs none: metadata, sign-out."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.parse import urlencode

from .dpop import challenge, check_proof, nonce_header
from .grants import AccessToken, Refusal
from .messages import REDIRECT, Answer, Request
from .settings import Settings
from .signing import override


def api(settings: Settings, request: Request) -> Answer:
    """Any path below ``/api/``: says what it was asked, and by whose token."""
    return _open(settings, request, _api)


def _open(
    settings: Settings, request: Request, answer: t.Callable[[Request, AccessToken], Answer]
) -> Answer:
    """The answer, where the request has a token that is alive, and its proof if it is bound."""
    try:
        access = _find_access(settings, request)
        if access is None:
            return _unauthorized("invalid_token")
    except Refusal as refusal:
        return Answer(401, {"error": refusal.error}, headers=challenge(settings, refusal))
    opened = answer(request, access)
    if settings.rotate_nonces:
        opened.headers = {**opened.headers, **nonce_header(settings)}
    return opened


def _api(request: Request, access: AccessToken) -> Answer:
    first = request.path.removeprefix("/api/").partition("/")[0]
    if first in _SPECIAL:
        return _SPECIAL[first](request, access)
    return _echo(request, access)


def _find_access(settings: Settings, request: Request) -> AccessToken | None:
    if request.headers.get("Authorization", "").lower().startswith("dpop "):
        access = settings.grants.find_access(request.access_token("DPoP"))
        if access is None or access.jkt is None:
            raise Refusal("invalid_token", "it has ended, or is a Bearer token")
        if check_proof(settings, request, access.value) != access.jkt:
            raise Refusal("invalid_token", "another key")
        return access
    access = settings.grants.find_access(request.access_token(settings.bearer_scheme))
    if access is not None and access.jkt is not None:
        raise Refusal("invalid_token", "it is bound, and came as a Bearer token")
    return access


def _echo(request: Request, access: AccessToken) -> Answer:
    members = {
        "path": request.path,
        "method": request.method,
        "query": request.query,
        "token": access.value,
        "sub": access.grant.sub,
        "scope": access.scope,
        "body": request.body.decode(errors="replace"),
    }
    return Answer(200, members)


def _redirect(request: Request, access: AccessToken) -> Answer:
    """``/api/redirect?to=URL&status=302``"""
    return REDIRECT(request.query["to"], int(request.query.get("status", 302)))


def _status(request: Request, access: AccessToken) -> Answer:
    """``/api/status/NNN?retry_after=SECONDS``"""
    status = int(request.path.rpartition("/")[2])
    retry_after = request.query.get("retry_after")
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status, None if status in {204, 304} else {"status": status}, headers=headers)


def _slow(request: Request, access: AccessToken) -> Answer:
    """``/api/slow?seconds=SECONDS``: the provider waits before it comes here."""
    return _echo(request, access)


def _step_up(request: Request, access: AccessToken) -> Answer:
    """``/api/step-up?acr_values=…&max_age=SECONDS``: RFC 9470, section 3."""
    acr_values = request.query.get("acr_values", "urn:example:strong")
    max_age = int(request.query.get("max_age", 300))
    age = time.time() - access.grant.auth_time
    if access.grant.acr in acr_values.split() and age <= max_age:
        return _echo(request, access)
    return _unauthorized(
        "insufficient_user_authentication", acr_values=acr_values, max_age=str(max_age)
    )


def _scope(request: Request, access: AccessToken) -> Answer:
    """``/api/scope?scope=…``: RFC 6750, section 3.1."""
    wanted = request.query["scope"]
    if set(wanted.split()) <= set(access.scope.split()):
        return _echo(request, access)
    return _unauthorized("insufficient_scope", 403, scope=wanted)


_SPECIAL: t.Mapping[str, t.Callable[[Request, AccessToken], Answer]] = {
    "redirect": _redirect,
    "status": _status,
    "slow": _slow,
    "step-up": _step_up,
    "scope": _scope,
}


def _unauthorized(error: str, status: int = 401, **params: str) -> Answer:
    challenge = ", ".join(
        f'{name}="{value}"' for name, value in ({"error": error} | params).items()
    )
    return Answer(status, {"error": error}, headers={"WWW-Authenticate": f"Bearer {challenge}"})


def userinfo(settings: Settings, request: Request) -> Answer:
    """OpenID Connect Core, section 5.3."""
    return _open(settings, request, lambda _, access: _claims(settings, access))


def _claims(settings: Settings, access: AccessToken) -> Answer:
    claims = override(access.grant.person, settings.userinfo_overrides)
    if settings.userinfo_signed:
        claims = {"iss": settings.issuer, "aud": settings.client_id, **claims}
        return Answer(200, settings.encrypted(settings.sign(claims)), "application/jwt")
    if settings.encrypted_by is not None:
        return Answer(200, settings.encrypted(json.dumps(claims)), "application/jwt")
    return Answer(200, claims)


def emails(settings: Settings, request: Request) -> Answer:
    """A list of addresses, of which one counts."""
    return _open(settings, request, _emails)


def _emails(request: Request, access: AccessToken) -> Answer:
    person = access.grant.person
    other = {"email": f"other-{person['sub']}@example.org", "primary": False, "verified": True}
    verified = person.get("email_verified", False)
    return Answer(200, [other, {"email": person["email"], "primary": True, "verified": verified}])


def metadata(settings: Settings, request: Request) -> Answer:
    return Answer(200, settings.metadata())


def jwks(settings: Settings, request: Request) -> Answer:
    return Answer(200, settings.jwks())


def sign_out(settings: Settings, request: Request) -> Answer:
    """OpenID Connect RP-Initiated Logout, sections 2 and 3."""
    params = request.form if request.method == "POST" else request.query
    settings.sign_outs.append(dict(params))
    target, known = params.get("post_logout_redirect_uri"), settings.post_logout_redirect_uris
    if target is None:
        return Answer(200, "<!doctype html><title>Signed out</title>")
    if known is not None and target not in known:
        return Answer(400, "<!doctype html><p>post_logout_redirect_uri is not registered")
    if "id_token_hint" not in params and params.get("client_id") != settings.client_id:
        return Answer(400, "<!doctype html><p>Which client?")
    joint = "&" if "?" in target else "?"
    query = urlencode({"state": params["state"]}) if "state" in params else ""
    return REDIRECT(f"{target}{joint}{query}" if query else target)
