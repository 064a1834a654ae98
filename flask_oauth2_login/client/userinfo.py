"""Requests with a token to the endpoints that say who its person is."""

from __future__ import annotations

import hashlib
import math
import re
import time
import typing as t
from urllib.parse import urlencode

from ..protocol import http, urls
from ..protocol.errors import (
    IDTokenError,
    ProviderAnswerError,
    UnusableIDTokenError,
    UserInfoRefusedError,
)
from ..protocol.identity import Identity, find_path, picks_verified
from ..protocol.json_input import parse_json, to_one_line
from ..protocol.refusal import find_reason
from ..protocol.token import Token, find_refusal, redact
from .resource_server import ResourceServer

if t.TYPE_CHECKING:
    from ..protocol.jwt import Verifier

#: How long (s) it is remembered which claims UserInfo does not send.
FORGET_SECONDS = 24 * 3600

# Of five parts if it is encrypted.
_JWT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2}((\.[A-Za-z0-9_-]*){2})?")
# Also one that is cut off.
_QUOTED_JWT = re.compile(r"eyJ[\w.-]+")


class Body(t.NamedTuple):
    """The body of the request to ``userinfo_url``, if it has one."""

    #: A form.
    data: str | None = None
    #: A value that is sent as JSON.
    json: t.Any = None


NO_BODY = Body()


def make_body(query: str | None, form: t.Mapping[str, t.Any], token: Token) -> Body:
    """Return the body that the options ``userinfo_query`` and ``userinfo_form`` ask for.

    :raises ProviderAnswerError: the token response lacks a value that the form names.
    """
    if query is not None:
        return Body(json={"query": query})
    return Body(urlencode(_find_values("userinfo_form", form, token))) if form else NO_BODY


def fetch(
    api: ResourceServer, method: str, url: str, token: Token, body: Body = NO_BODY
) -> http.Response:
    """Send one request with the token, limited in time and size.

    It is sent once more if the answer demands a nonce in its proof: RFC 9449, section 9.

    :param method: the method of the request, or ``"GRAPHQL"`` for a POST.
    :param url: an absolute URL.
    :raises ConfigurationError: the URL is not https.
    :raises ProviderError: the provider can't be reached, or says that it can't answer now.
    """
    urls.require_https(url, "An endpoint that gets the token", api.http_hosts)

    def send() -> http.Response:
        return http.send(
            api.http_options,
            "POST" if method == "GRAPHQL" else method,
            url,
            headers={"Accept": "application/json", **api.headers},
            data=body.data,
            json=body.json,
            auth=lambda request: api.add_token(request, token),
        )

    response, prover = send(), api.prover_for(token)
    if prover is not None and prover.must_resend(url, response):
        response = send()
        prover.nonces.keep(url, response.headers)
    response.require_in_order(redact(url.partition("?")[0], [token.access_token]))
    return response


def fetch_userinfo(
    api: ResourceServer, method: str, url: str, token: Token, body: Body = NO_BODY
) -> dict[str, t.Any]:
    """Return the JSON object that ``userinfo_url`` of an OAuth 2.0 provider sends.

    :param body: the body of a POST.
    :raises ProviderError: the provider can't be reached, rejects the token, or sends something
        else.
    """
    response = fetch(api, method, url, token, body)
    if response.status in {401, 403}:
        refused = UserInfoRefusedError if response.status == 401 else ProviderAnswerError
        raise refused(
            f"userinfo_url answered with status {response.status}: {_reason_of(response, token)}."
            " Does the scope allow it?"
        )
    members = response.json_object() if 200 <= response.status < 300 else None
    if method == "GRAPHQL" and members and not isinstance(members.get("data"), dict):
        # GraphQL, section 7.1: errors come with status 200.
        reason = _reason_of(response, token)
        raise ProviderAnswerError(f"userinfo_url answered the GraphQL query with errors: {reason}.")
    if members is None:
        raise ProviderAnswerError(
            f"userinfo_url answered with {redact(response.outcome, [token.access_token])} and no"
            " JSON object."
        )
    return members


def add_params(url: str, params: t.Mapping[str, t.Any], token: Token) -> str:
    """Return the URL of UserInfo with the parameters of the option ``userinfo_params``.

    :raises ProviderAnswerError: the token response lacks a value that one of them names.
    """
    return urls.add_params(url, _find_values("userinfo_params", params, token)) if params else url


def _find_values(option: str, params: t.Mapping[str, t.Any], token: Token) -> dict[str, t.Any]:
    found = {}
    for name, value in params.items():
        is_path = _is_token_path(value)
        found[name] = find_path({}, value, token) if is_path else value
        if is_path and found[name] is None:
            raise ProviderAnswerError(
                f"{option} has {name}={value!r}, and the token response does not have that value."
            )
    return found


def sends_token_values(params: t.Mapping[str, t.Any]) -> bool:
    """Return True if ``userinfo_params`` takes values from the token, which may be secrets."""
    return any(map(_is_token_path, params.values()))


def _is_token_path(value: t.Any) -> bool:
    return isinstance(value, str) and value.startswith("token:")


def add_email(identity: Identity, api: ResourceServer, url: str, path: str, token: Token) -> None:
    """Set the identity's e-mail address from a second request, if its response has one.

    :param path: where the address is in the response. See :func:`find_path`.
    :raises ProviderError: the provider can't be reached, or says that it can't answer now.
    """
    response = fetch(api, "GET", url, token)
    email = find_path(response.json(), path)
    if isinstance(email, str) and 200 <= response.status < 300:
        identity.email = email
        identity.email_verified = picks_verified(path)


def fetch_claims(
    api: ResourceServer,
    method: str,
    url: str,
    token: Token,
    make_verifier: t.Callable[[], Verifier],
    decrypt: t.Callable[[str], str],
) -> dict[str, t.Any]:
    """Return the claims that OpenID Connect's UserInfo endpoint sends: Core 1.0, section 5.3.

    A response may be signed, encrypted, or both: section 5.3.2.

    :param make_verifier: called if the response is signed.
    :param decrypt: called if the response is encrypted.
    :raises IDTokenError: the response is signed, and a check failed.
    :raises ProviderError: the provider can't be reached, or sends no claims that can be read.
    """
    response = fetch(api, method, url, token)
    claims = response.json_object()
    is_refused = claims is not None and "sub" not in claims and find_refusal(claims, None, ())
    if response.status in {401, 403} or is_refused:
        reason = _reason_of(response, token)
        refused = UserInfoRefusedError if response.status == 401 else ProviderAnswerError
        raise refused(f"UserInfo refused the access token with status {response.status}: {reason}.")
    jwt = _find_jwt(response) if response.status == 200 else None
    if jwt is not None and jwt.count(".") == 4:
        try:
            content = decrypt(jwt)
        except IDTokenError as error:
            text = f"The UserInfo response can't be read: {error.error_description}."
            raise ProviderAnswerError(text) from None
        # What is not signed is as good as an answer that is not encrypted: it came over TLS.
        unsigned = parse_json(content.encode())
        claims, jwt = (unsigned, None) if isinstance(unsigned, dict) else (None, content)
    if jwt is not None:
        from ..protocol.id_token import validate_userinfo

        try:
            return validate_userinfo(jwt, make_verifier())
        except IDTokenError as error:
            text = f"the signed UserInfo response: {error.error_description}"
            raise type(error)(text, row=error.row) from None
    if claims is None or response.status != 200:
        kind = to_one_line(response.headers.get("Content-Type", "no Content-Type"))[:100]
        raise ProviderAnswerError(
            f"UserInfo answered with {response.outcome} ({kind}) and no claims."
        )
    return claims


def _reason_of(response: http.Response, token: Token) -> str:
    """Return why a token was refused: the challenge and the members of the body that say so."""
    challenge = response.headers.get("WWW-Authenticate", "no challenge")
    members = response.json_object() or {}
    refusal = find_refusal(members, None, [token.access_token])
    body = refusal.message if refusal else find_reason(members, response.status)
    text = f"{challenge}; {body}" if body else challenge
    # Some servers quote the token that they refuse, or its proof.
    return to_one_line(_QUOTED_JWT.sub("***", redact(text, [token.access_token])))[:300]


def _find_jwt(response: http.Response) -> str | None:
    """Return the JWT that a response consists of, whatever its Content-Type; None if it is none."""
    text = response.body.decode("ascii", "replace").strip()
    value = response.json()
    text = value if isinstance(value, str) else text
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # A body of another type is a JWT if its header looks like that of one.
    is_likely = kind == "application/jwt" or text.startswith("eyJ")
    return text if is_likely and _JWT.fullmatch(text) else None


class UnsentClaims:
    """The claims of a scope that UserInfo was asked for and did not send.

    For :data:`FORGET_SECONDS`, such a claim is no reason to ask about the same person again. Once
    several people in a row were answered without it, it is no reason to ask about anybody. An
    address is still asked for once for each person, because apps know people by it. Nothing here
    waits for a lock, because forgetting too early only costs a request.
    """

    #: After how many people's answers without it a claim is taken for one that is never sent.
    PEOPLE = 3
    #: The most people that are remembered.
    MOST = 1000

    def __init__(self) -> None:
        #: When a person, by a hash, was answered without a claim, in `time.monotonic` seconds.
        self._people: dict[tuple[str, str], float] = {}
        #: The people that were answered without a claim since somebody was answered with it.
        self._in_a_row: dict[str, dict[str, float]] = {}

    def is_reason(self, id_claims: t.Mapping[str, t.Any], claim: str) -> bool:
        """Return True if a claim that the ID token lacks is a reason to ask UserInfo."""
        oldest = time.monotonic() - FORGET_SECONDS
        row = self._in_a_row.get(claim, {})
        in_a_row = sum(since > oldest for since in list(row.values()))
        if claim != "email" and in_a_row >= self.PEOPLE:
            return False
        return self._people.get((_person(id_claims), claim), -math.inf) <= oldest

    def note(
        self,
        id_claims: t.Mapping[str, t.Any],
        userinfo: t.Mapping[str, t.Any],
        claims: t.Iterable[str],
    ) -> None:
        """Remember which of ``claims`` an answer of UserInfo has."""
        person, now = _person(id_claims), time.monotonic()
        if len(self._people) > self.MOST:
            self._people = {}
        for claim in claims:
            if claim in userinfo:
                self._in_a_row.pop(claim, None)
            elif claim not in id_claims:
                self._people[person, claim] = now
                row = self._in_a_row.get(claim, {})
                self._in_a_row[claim] = {**dict(list(row.items())[-self.PEOPLE :]), person: now}


def _person(id_claims: t.Mapping[str, t.Any]) -> str:
    return hashlib.sha256(repr([id_claims.get(n) for n in ("iss", "sub")]).encode()).hexdigest()


def merge_claims(
    id_claims: t.Mapping[str, t.Any],
    userinfo: t.Mapping[str, t.Any],
    *,
    numeric_sub: bool = False,
) -> dict[str, t.Any]:
    """Return the claims of an ID token and of UserInfo together. The ID token's take precedence.

    :param numeric_sub: read a ``sub`` of UserInfo that is a number as text.
    :raises IDTokenError: UserInfo is about somebody else (Core 1.0, section 5.3.2).
    """
    sub = userinfo.get("sub")
    is_number = isinstance(sub, int) and not isinstance(sub, bool)
    if (str(sub) if is_number and numeric_sub else sub) != id_claims.get("sub"):
        if is_number and str(sub) == id_claims.get("sub"):
            raise UnusableIDTokenError(
                "the sub of UserInfo is a number: set numeric_sub=True to accept it",
                row="numeric-sub",
            )
        raise IDTokenError("UserInfo is about somebody else")
    own, others = dict(id_claims), dict(userinfo)
    # email_verified only counts for the email of the same source.
    (others if "email" in own else own).pop("email_verified", None)
    return {**others, **own}
