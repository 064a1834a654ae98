"""Requests to the token endpoint: RFC 6749, section 3.2.

Each grant makes a :class:`TokenRequest` of its own parameters, and passes it to
:func:`request_token`.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import http, urls
from .client_auth import ClientAuth, TokenRequest, basic_credentials, client_refused
from .errors import TokenError, UnnamedRefusalError
from .http_options import HTTPOptions
from .refusal import Concern, said_concern
from .token import Token, read_token

if t.TYPE_CHECKING:
    from requests import PreparedRequest

    from .dpop import Prover

#: How a token request is sent: as a form, as JSON, or as the query of a GET.
Style = t.Literal["form", "json", "query"]

#: Parameters with secrets, which a provider's error may quote.
SECRET_PARAMS = (
    "code", "code_verifier", "device_code", "subject_token", "refresh_token", "token",
    "client_secret", "client_assertion", "request",
)  # fmt: skip


def request_token(
    options: HTTPOptions,
    request: TokenRequest,
    client_auth: ClientAuth,
    *,
    style: Style = "form",
    names: t.Mapping[str, str] | None = None,
    token_path: str | None = None,
    token_types: t.Collection[str] = ("bearer",),
    former: Token | None = None,
    id_token_suffices: bool = False,
    prover: Prover | None = None,
) -> Token | None:
    """Send a token request once, and read the response: RFC 6749, sections 4.1.3 and 5.

    :param request: the endpoint, the grant's parameters and the client's credentials.
    :param client_auth: adds the credentials to the request.
    :param style: how the parameters are sent.
    :param names: the provider's names for parameters and for members of the response.
    :param token_path: the dotted path of the token object in the response, if it is nested.
    :param token_types: the accepted token types, in lower case.
    :param former: the token that is refreshed. See :func:`read_token`.
    :param id_token_suffices: accept a response with an ID token and no access token.
    :param prover: adds proofs, if the token is to be bound to a key. See :func:`send`.
    :returns: the token, or None if the response is a success without content.
    :raises TokenError: the provider refused.
    :raises ProviderError: the provider can't be reached, or its response is neither a token nor a
        refusal.
    """
    response = send(options, request, client_auth, style, names, prover)
    # Only now, because sending the request has added the client's credentials.
    secrets = secrets_in(request)
    try:
        return read_token(
            response,
            token_path=token_path,
            names=names,
            token_types=token_types,
            secrets=secrets,
            id_token_suffices=id_token_suffices,
            former=former,
        )
    except (TokenError, UnnamedRefusalError) as refusal:
        raise explain_refusal(refusal, request, client_auth) from None


def explain_refusal(
    refusal: TokenError | UnnamedRefusalError, request: TokenRequest, client_auth: ClientAuth
) -> TokenError | UnnamedRefusalError:
    """Return a refusal that says how the client has authenticated, if it is about the client.

    :param request: as ``client_auth`` has changed it.
    """
    concern = said_concern(refusal)
    if concern is None and refusal.status_code == 401 and "Authorization" in request.headers:
        # Section 5.2: this is the status for credentials in that header that are wrong.
        detail = f"{client_refused(request, client_auth)} The answer was: {refusal.message}"
        return TokenError("invalid_client", None, 401, detail=detail)
    if concern is not Concern.CLIENT:
        return refusal
    detail = client_refused(request, client_auth)
    if isinstance(refusal, UnnamedRefusalError):
        message, status = f"{refusal.message} {detail}", refusal.status_code
        return UnnamedRefusalError(message, refusal.reason, status, row="client-refused")
    error, description = refusal.error, refusal.error_description
    return TokenError(error, description, refusal.status_code, detail=detail)


def send(
    options: HTTPOptions,
    request: TokenRequest,
    client_auth: ClientAuth,
    style: Style = "form",
    names: t.Mapping[str, str] | None = None,
    prover: Prover | None = None,
) -> http.Response:
    """Send a request with the client's credentials, such as to the token endpoint.

    If the provider demands a nonce in the proof (RFC 9449, section 8), the request is sent once
    more, with a fresh proof and with fresh credentials, because an assertion serves only once.

    :param style: POST a form, POST a JSON object, or send a GET with everything in the query.
    :param prover: adds a proof (RFC 9449) to the request; None sends none.
    """
    if prover is None:
        return _send_once(options, request, client_auth, style, names)
    # The function for the credentials may change all of it.
    given = dataclasses.replace(request, params=dict(request.params), headers=dict(request.headers))
    response = _send_once(options, request, client_auth, style, names, prover)
    if not prover.must_resend(request.url, response):
        return response
    vars(request).update(vars(given))
    response = _send_once(options, request, client_auth, style, names, prover)
    prover.nonces.keep(request.url, response.headers)
    return response


def _send_once(
    options: HTTPOptions,
    request: TokenRequest,
    client_auth: ClientAuth,
    style: Style,
    names: t.Mapping[str, str] | None,
    prover: Prover | None = None,
) -> http.Response:
    def add_proof(prepared: PreparedRequest) -> PreparedRequest:
        if prover is not None:
            prover.add_proof(prepared)
            # So that `secrets_in` finds it.
            request.headers["DPoP"] = prepared.headers["DPoP"]
        return prepared

    client_auth(request)
    params = {(names or {}).get(name, name): value for name, value in request.params.items()}
    if style == "query":
        # It redeems a code or a refresh token, so it is sent only once, as a POST is.
        return http.send(
            options,
            "GET",
            urls.add_params(request.url, params),
            auth=add_proof,
            headers=request.headers,
            cert=request.cert,
            only_once=True,
        )
    return http.send(
        options,
        "POST",
        request.url,
        auth=add_proof,
        headers=request.headers,
        cert=request.cert,
        json=params if style == "json" else None,
        data=None if style == "json" else urls.encode_form(params),
    )


def secrets_in(request: TokenRequest) -> list[str]:
    """Return the secrets of a request, to be removed from errors in which a provider quotes it."""
    secrets = [request.params.get(name) for name in SECRET_PARAMS]
    secrets.append(request.headers.get("DPoP"))
    if request.client_secret:
        basic = basic_credentials(request.client_id, request.client_secret)
        secrets += [request.client_secret, basic]
    return [secret for secret in secrets if isinstance(secret, str)]
