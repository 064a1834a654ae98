"""The token endpoint, and the one that revokes."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import typing as t
from hashlib import sha256
from urllib.parse import unquote_plus

from .assertions import read_assertion
from .dpop import check_proof, with_nonce
from .grants import Grant, Refusal
from .messages import Answer, Request
from .settings import Settings
from .signing import encode, override

#: Parameters that a request may have several times: RFC 8707, section 2.
MAY_REPEAT = frozenset({"resource"})
#: The methods by which a certificate authenticates the client.
TLS_METHODS = {"tls_client_auth", "self_signed_tls_client_auth"}
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
#: The type of the tokens that are exchanged, and of those that are issued.
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

NO_STORE = {"Cache-Control": "no-store"}


def token(settings: Settings, request: Request) -> Answer:
    """RFC 6749, section 3.2."""

    def handle() -> dict[str, t.Any]:
        params = read_client(settings, request)
        # What is refused here uses up neither a code nor a refresh token.
        jkt = check_proof(settings, request) if settings.dpop else None
        return _grant_tokens(settings, request, params, jkt)

    return with_nonce(settings, answer(request, handle))


def revoke(settings: Settings, request: Request) -> Answer:
    """RFC 7009, section 2."""

    def handle() -> None:
        params = read_client(settings, request)
        settings.grants.revoke(_require(params, "token"))

    return answer(request, handle)


def answer(
    request: Request, handle: t.Callable[[], dict[str, t.Any] | None], status: int = 200
) -> Answer:
    """Answer a client with what a function returns, or with the error that it raises."""
    try:
        return Answer(status, handle(), headers=NO_STORE)
    except Refusal as refusal:
        members = {"error": refusal.error, "error_description": refusal.description}
        challenge = refusal.status == 401 and "Authorization" in request.headers
        headers = {"WWW-Authenticate": 'Basic realm="token"'} if challenge else {}
        return Answer(refusal.status, members, headers=NO_STORE | headers)


def read_client(settings: Settings, request: Request) -> dict[str, str]:
    """The request's parameters, once it is certain which client sent them.

    RFC 6749, sections 2.3.1 and 3.2.1.
    """
    if request.method != "POST":
        raise Refusal("invalid_request", "not a POST", 405)
    if request.query_lists:
        raise Refusal("invalid_request", "parameters in the URL")
    if settings.json_requests and isinstance(request.json, dict):
        params = {name: str(value) for name, value in request.json.items()}
    else:
        lists = request.form_lists.items()
        if any(len(values) > 1 for name, values in lists if name not in MAY_REPEAT):
            raise Refusal("invalid_request", "a parameter is repeated")
        params = dict(request.form)
    header = request.headers.get("Authorization")
    if "client_assertion" in params:
        if header is not None or "client_secret" in params:
            raise Refusal("invalid_request", "the client authenticates in two ways")
        _check_method(settings, read_assertion(settings, params))
        return params
    if header is not None:
        if "client_secret" in params:
            raise Refusal("invalid_request", "the client authenticates in two ways")
        method, (client_id, secret) = "client_secret_basic", _read_basic(header)
        if params.get(settings.client_id_param, client_id) != client_id:
            raise Refusal("invalid_request", "two client_ids")
    else:
        method, client_id = "client_secret_post", params.get(settings.client_id_param, "")
        secret = params.get("client_secret")
    if TLS_METHODS & settings.client_auth_methods:
        _check_certificate(settings, request, client_id)
    else:
        _check_client(settings, method, client_id, secret)
    return params


def _check_certificate(settings: Settings, request: Request, client_id: str) -> None:
    """RFC 8705, section 2."""
    if client_id != settings.client_id:
        raise Refusal("invalid_client", "unknown client", 401)
    if request.client_cert is None or settings.client_cert_name not in {None, request.client_cert}:
        raise Refusal("invalid_client", f"the certificate: {request.client_cert}", 401)


def _check_method(settings: Settings, method: str) -> None:
    if method not in settings.client_auth_methods:
        raise Refusal("invalid_client", f"{method} is not registered", 401)


def _read_basic(header: str) -> tuple[str, str | None]:
    scheme, _, value = header.partition(" ")
    try:
        decoded = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon or ":" in secret:
        raise Refusal("invalid_client", "Basic credentials are form-encoded first", 401)
    return unquote_plus(client_id), unquote_plus(secret)


def _check_client(settings: Settings, method: str, client_id: str, secret: str | None) -> None:
    if client_id != settings.client_id:
        raise Refusal("invalid_client", "unknown client", 401)
    if settings.client_secret is None:
        if secret is not None:
            raise Refusal("invalid_client", "a public client has no secret", 401)
        return
    if secret is None or not hmac.compare_digest(secret.encode(), settings.client_secret.encode()):
        raise Refusal("invalid_client", "wrong secret", 401)
    _check_method(settings, method)


def _grant_tokens(
    settings: Settings, request: Request, params: dict[str, str], jkt: str | None
) -> dict[str, t.Any]:
    grant_type = _require(params, "grant_type")
    wanted = set(request.form_lists.get("resource", ()))
    if grant_type == "authorization_code":
        verifier = params.get("code_verifier")
        challenge = None if verifier is None else encode(sha256(verifier.encode()).digest())
        code, redirect_uri = _require(params, "code"), params.get("redirect_uri")
        grant = settings.grants.redeem(code, redirect_uri, challenge, jkt)
        _check_resources(grant, wanted)
        return _tokens(settings, grant, grant.scope, first=True)
    if grant_type == "refresh_token":
        grant = settings.grants.renew(
            _require(params, "refresh_token"), rotate=settings.rotate, jkt=jkt
        )
        scope = params.get("scope", grant.scope)
        if not set(scope.split()) <= set(grant.scope.split()):
            raise Refusal("invalid_scope", "more than was granted")
        _check_resources(grant, wanted)
        return _tokens(settings, grant, scope, first=False)
    if grant_type == TOKEN_EXCHANGE:
        return _exchange(settings, params)
    if grant_type == DEVICE_CODE:
        grant = settings.grants.redeem_device(_require(params, "device_code"))
        return _tokens(settings, grant, grant.scope, first=True)
    if grant_type == "client_credentials":
        if settings.is_public:
            raise Refusal("unauthorized_client", "a public client has no credentials")
        grant = Grant({"sub": settings.client_id}, params.get("scope", ""), 0, jkt=jkt)
        access = settings.issue(grant, grant.scope)
        return _members(settings, access.value, grant.scope)
    raise Refusal("unsupported_grant_type", grant_type)


def _check_resources(grant: Grant, wanted: set[str]) -> None:
    """RFC 8707, section 2.2."""
    if grant.resources and not wanted <= set(grant.resources):
        raise Refusal("invalid_target", "more resources than were granted")


def _exchange(settings: Settings, params: dict[str, str]) -> dict[str, t.Any]:
    """RFC 8693, section 2."""
    subject = settings.grants.find_access(_require(params, "subject_token"))
    if subject is None or _require(params, "subject_token_type") != ACCESS_TOKEN:
        raise Refusal("invalid_request", "the subject token is not valid")
    if params.get("resource") not in settings.resources:
        raise Refusal("invalid_target", "no such resource")
    scope = params.get("scope", "")
    access = settings.issue(subject.grant, scope)
    return _members(settings, access.value, scope, issued_token_type=ACCESS_TOKEN)


def _tokens(settings: Settings, grant: Grant, scope: str, *, first: bool) -> dict[str, t.Any]:
    access = settings.issue(grant, scope)
    more: dict[str, t.Any] = {}
    if first and grant.authorization_details is not None:
        more["authorization_details"] = grant.authorization_details
    if settings.refreshable if first else settings.rotate:
        more["refresh_token"] = settings.grants.add_refresh(grant, settings.refresh_token_size)
    if "openid" in scope.split() and (first or settings.id_token_at_refresh):
        # Core, section 12.2: those of a renewal have no nonce.
        whose = grant if first else dataclasses.replace(grant, nonce=None)
        more["id_token"] = settings.encrypted(_id_token(settings, whose, access.value))
    return _members(settings, access.value, scope, **more)


def _id_token(settings: Settings, grant: Grant, access_token: str) -> str:
    if settings.id_token_maker is not None:
        return settings.id_token_maker(settings.id_token_claims(grant, access_token))
    options = {"access_token": access_token, **settings.id_token_options}
    return settings.id_token(grant=grant, **options)


def _members(settings: Settings, access_token: str, scope: str, **more: t.Any) -> dict[str, t.Any]:
    token_type = settings.dpop_token_type if settings.dpop else "Bearer"
    members: dict[str, t.Any] = {"access_token": access_token, "token_type": token_type, **more}
    if settings.expires_in is not None:
        members["expires_in"] = settings.expires_in
    if scope:
        members["scope"] = scope
    return override(members, settings.token_overrides)


def _require(params: t.Mapping[str, str], name: str) -> str:
    if not params.get(name):
        raise Refusal("invalid_request", f"{name} is missing")
    return params[name]
