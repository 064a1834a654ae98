"""Tokens that are bound to a key: proofs, nonces, and what an attacker gets. RFC 9449."""

from __future__ import annotations

import io
import pickle
import typing as t

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Session,
    OpenIDConnect,
    Token,
    TokenError,
)
from flask_oauth2_login.protocol.dpop import DPoPKey, Prover, make_proof, new_key, read_own_key
from flask_oauth2_login.protocol.nonces import MOST, Nonces
from tests.conftest import MakeProvider
from tests.support.handlers import make_client, make_openid_client, redeem, redeem_openid
from tests.support.provider import (
    CUT_BEFORE,
    REDIRECT,
    Answer,
    Provider,
    Request,
)

#: The key by which the client authenticates.
CLIENT = ECKey.generate_key("P-256")
#: The client's own key that tokens are bound to.
OWN = ECKey.generate_key("P-256")


@pytest.fixture
def provider(make_provider: MakeProvider) -> Provider:
    return make_provider(dpop=True)


def make_api(provider: Provider, **options: t.Any) -> OAuth2:
    return make_client(
        provider,
        **{"dpop": True, "api_url": provider.api_url, "userinfo_url": "userinfo", **options},
    )


def open_session(provider: Provider, **options: t.Any) -> OAuth2Session:
    handler = make_api(provider, **options)
    return handler.session(redeem(handler, provider))


def demand(nonce: str | None = None, **headers: str) -> Answer:
    """A challenge for a nonce, by an API."""
    told = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', **headers}
    return Answer(401, {}, headers=told if nonce is None else {**told, "DPoP-Nonce": nonce})


# -- the key of a login, and that of the client


@pytest.mark.parametrize("dpop", [True, OWN.as_pem(private=True), OWN.as_dict(private=True)])
def test_a_token_is_got_renewed_and_used_with_proofs(provider: Provider, dpop: t.Any) -> None:
    handler = make_api(provider, dpop=dpop)
    token = redeem(handler, provider)
    assert token["token_type"] == "DPoP"
    answer = handler.session(token).get("/me?a=b#c").json()
    assert answer["sub"] == "ada"
    newer = handler.refresh_token(token)
    assert newer is not None
    assert newer.dpop_key is token.dpop_key
    assert handler.session(newer).post("/me", json={}).json()["sub"] == "ada"
    assert handler.fetch_identity(newer).id == "ada"  # type: ignore[union-attr]
    handler.revoke_token(newer)
    assert "DPoP" not in provider.calls("/revoke")[0].headers
    jwks = {proof_key(request) for request in provider.requests if "DPoP" in request.headers}
    assert len(jwks) == 1, "one key for all of them"


def proof_key(request: Request) -> str:
    return request.headers["DPoP"].partition(".")[0]


def test_each_login_has_a_key_of_its_own_by_default(provider: Provider) -> None:
    handler = make_api(provider)
    first, second = redeem(handler, provider).dpop_key, redeem(handler, provider).dpop_key
    assert first is not None
    assert second is not None
    assert first.thumbprint != second.thumbprint


def test_the_clients_own_key_is_not_in_the_token(provider: Provider) -> None:
    handler = make_api(provider, dpop=OWN.as_dict(private=True))
    assert redeem(handler, provider).dpop_key is None
    assert handler.own_dpop_key is not None
    assert handler.own_dpop_key.thumbprint == OWN.thumbprint()
    assert provider.authorizations[0]["dpop_jkt"] == OWN.thumbprint()


def test_the_code_is_bound_to_the_key_that_the_request_named(provider: Provider) -> None:
    handler, key = make_api(provider), new_key()
    code = provider.answer(handler.authorize_url("read", dpop_key=key)).params["code"]
    with pytest.raises(TokenError, match="dpop_jkt"):
        handler.get_token(code, dpop_key=new_key())
    code = provider.answer(handler.authorize_url("read", dpop_key=key)).params["code"]
    token = handler.get_token(code, dpop_key=key)
    assert token is not None
    assert token.dpop_key is key


def test_the_apps_own_token_is_bound_too(provider: Provider) -> None:
    handler = make_api(provider)
    token = handler.client_token("read")
    assert handler.session(token).get("/me").json()["sub"] == provider.client_id


@pytest.mark.parametrize(
    "given",
    [
        OWN.as_dict(private=False),
        "no key",
        3,
        {**OKPKey.generate_key("Ed25519").as_dict(private=True), "use": "enc"},
    ],
    ids=["public", "text", "number", "encryption"],
)
def test_an_unusable_key_is_refused_at_once(provider: Provider, given: t.Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^dpop "):
        make_api(provider, dpop=given)


@pytest.mark.parametrize("token_type", ["dpop", "DPoP", "DPOP"])
def test_the_token_type_may_be_in_any_case(provider: Provider, token_type: str) -> None:
    provider.dpop_token_type = token_type
    assert open_session(provider).get("/me").status_code == 200


def test_a_provider_may_bind_the_refresh_token_alone(provider: Provider) -> None:
    provider.dpop_token_type = "Bearer"
    handler = make_api(provider)
    token = redeem(handler, provider)
    assert handler.session(token).get("/me").status_code == 200
    (call,) = provider.calls("/api/me")
    assert "DPoP" not in call.headers
    assert call.headers["Authorization"].startswith("Bearer ")
    newer = handler.refresh_token(token)
    assert newer is not None
    assert provider.calls("/token", grant_type="refresh_token")[0].headers["DPoP"]


def test_a_bound_token_is_refused_by_a_client_without_the_option(provider: Provider) -> None:
    provider.dpop = False
    provider.token_overrides = {"token_type": "DPoP"}
    with pytest.raises(Exception, match="dpop=True"):
        redeem(make_client(provider), provider)


# -- what a proof is for


@pytest.mark.security("F1")
def test_a_proof_is_for_its_request_alone(provider: Provider) -> None:
    provider.dpop_nonce = "n-1"
    session = open_session(provider)
    session.get("/a%20b/ü?x=1")
    session.request("patch", "/me", data="x")
    claims = list(provider.proofs.values())[-2:]
    assert [each["htm"] for each in claims] == ["GET", "PATCH"]
    assert claims[0]["htu"] == f"{provider.api_url}/a%20b/%C3%BC"
    assert {each["nonce"] for each in claims} == {"n-1"}
    assert all(each.keys() == {"jti", "htm", "htu", "iat", "ath", "nonce"} for each in claims)
    first, of_token, *_ = provider.proofs.values()
    assert first.keys() == {"jti", "htm", "htu", "iat"}, "the nonce is not known yet"
    assert of_token["htu"] == f"{provider.url}/token"
    assert of_token.keys() == {"jti", "htm", "htu", "iat", "nonce"}


def test_credentials_in_a_url_are_not_in_the_proof(provider: Provider) -> None:
    session = open_session(provider)
    assert session.get(provider.api_url.replace("://", "://ada:pass@") + "/me").status_code == 200


@pytest.mark.security("F1")
@pytest.mark.parametrize("status", [302, 307])
def test_each_hop_of_a_redirect_has_a_proof_of_its_own(provider: Provider, status: int) -> None:
    provider.rotate_nonces, provider.dpop_nonce = True, "n-1"
    provider.on(
        "/api/moved", REDIRECT(f"/api/redirect?to=/api/me&status={status}", status), times=1
    )
    session = open_session(provider)
    method = session.post("/moved", data="x").json()["method"]
    assert method == ("POST" if status == 307 else "GET")
    assert [call.path for call in provider.calls("/api/*")][-2:] == ["/api/redirect", "/api/me"]


@pytest.mark.security("F1")
def test_a_proof_never_goes_to_another_site(
    provider: Provider, make_provider: MakeProvider
) -> None:
    other = make_provider()
    other.on("/api/me", Answer(200, {}, headers={"DPoP-Nonce": "theirs"}))
    provider.on("/api/moved", REDIRECT(f"{other.api_url}/me"))
    handler = make_api(provider)
    handler.session(redeem(handler, provider)).get("/moved", headers={"DPoP": "mine"})
    (call,) = other.requests
    assert not {"DPoP", "Authorization"} & set(call.headers)
    assert handler.nonces.get(other.url) is None


@pytest.mark.security("F1")
def test_a_request_that_is_sent_again_has_a_fresh_proof(provider: Provider) -> None:
    session = open_session(provider)
    assert session.get("/me").status_code == 200
    provider.on("/api/me", CUT_BEFORE, times=1)
    assert session.get("/me").status_code == 200
    assert len(provider.calls("/api/me")) == 3
    request = session.prepare_request(requests.Request("GET", f"{provider.api_url}/me"))
    assert session.send(request).status_code == 200
    assert session.send(request).status_code == 200


# -- nonces


def with_assertions(make_provider: MakeProvider, **settings: t.Any) -> tuple[Provider, OAuth2]:
    """A provider at which each assertion and each proof serves once, and its client."""
    public = {**CLIENT.as_dict(private=False), "kid": CLIENT.thumbprint()}
    provider = make_provider(
        dpop=True,
        client_secret=None,
        client_auth_methods={"private_key_jwt"},
        client_keys=[public],
        **settings,
    )
    private_key = CLIENT.as_dict(private=True)
    return provider, make_openid_client(provider, dpop=True, private_key=private_key)


@pytest.mark.security("B5", "F4")
@pytest.mark.parametrize("status", [400, 401])
def test_a_token_request_is_sent_again_with_the_nonce(
    make_provider: MakeProvider, status: int
) -> None:
    provider, handler = with_assertions(make_provider, dpop_nonce="n-1")
    headers = {"DPoP-Nonce": "n-1"}
    provider.on("/token", Answer(status, {"error": "use_dpop_nonce"}, headers=headers), times=1)
    redeem_openid(provider, t.cast(OpenIDConnect, handler))
    sent = [call.form["client_assertion"] for call in provider.calls("/token")]
    assert len(set(sent)) == 2
    redeem_openid(provider, t.cast(OpenIDConnect, handler))
    assert len(provider.calls("/token")) == 3, "the nonce is known by now"


def test_a_request_is_pushed_with_a_proof(make_provider: MakeProvider) -> None:
    provider, handler = with_assertions(make_provider, dpop_nonce="n-1", require_par=True)
    key = new_key()
    url = handler.authorize_url("openid", nonce="n", dpop_key=key)
    first, second = provider.calls("/par")
    assert first.form["client_assertion"] != second.form["client_assertion"]
    assert "dpop" not in url
    code = provider.answer(url).params["code"]
    with pytest.raises(TokenError, match="another key"):
        handler.get_token(code, nonce="n", dpop_key=new_key())
    url = handler.authorize_url("openid", nonce="n", dpop_key=key)
    code = provider.answer(url).params["code"]
    assert handler.get_token(code, nonce="n", dpop_key=key)
    assert len(provider.calls("/par")) == 3


def test_without_a_key_a_request_is_pushed_without_a_proof(make_provider: MakeProvider) -> None:
    provider, handler = with_assertions(make_provider, require_par=True)
    redeem_openid(provider, t.cast(OpenIDConnect, handler))
    assert "DPoP" not in provider.calls("/par")[0].headers


@pytest.mark.security("C1")
def test_an_error_that_quotes_the_proof_does_not_show_it(provider: Provider) -> None:
    def quote(request: Request) -> Answer:
        members = {"error": "invalid_dpop_proof", "error_description": request.headers["DPoP"]}
        return Answer(400, members)

    provider.on("/token", quote)
    with pytest.raises(TokenError) as caught:
        redeem(make_api(provider), provider)
    (call,) = provider.calls("/token")
    assert call.headers["DPoP"][:20] not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("scheme", ["DPoP", "dpop"])
def test_an_api_call_is_sent_again_with_the_nonce(provider: Provider, scheme: str) -> None:
    session = open_session(provider)
    provider.dpop_scheme, provider.dpop_nonce = scheme, "n-1"
    assert session.post("/me", data=io.BytesIO(b"body")).json()["body"] == "body"
    assert session.get("/me").status_code == 200
    assert len(provider.calls("/api/me")) == 3


def test_a_body_that_can_be_read_once_is_sent_once(provider: Provider) -> None:
    session = open_session(provider)
    provider.dpop_nonce = "n-1"
    assert session.post("/me", data=iter([b"a", b"b"])).status_code == 401
    assert session.post("/me", data=iter([b"a", b"b"])).status_code == 200


def test_userinfo_is_asked_again_with_the_nonce(provider: Provider) -> None:
    sso = make_openid_client(provider, dpop=True)
    token = redeem_openid(provider, sso)
    provider.dpop_nonce, provider.claims_in_id_token = "n-1", False
    assert sso.fetch_identity(token, ["name"]).name
    provider.dpop_nonce = "n-2"
    sso.fetch_identity(token, ["phone_number"])
    assert [call.path for call in provider.requests][-2:] == ["/userinfo", "/userinfo"]


def test_a_nonce_that_comes_with_any_answer_is_used(provider: Provider) -> None:
    provider.rotate_nonces = True
    session = open_session(provider)
    for _ in range(3):
        assert session.get("/me").status_code == 200
    assert len(provider.calls("/api/me")) == 3
    provider.rotate_nonces = False
    assert session.get("/me").status_code == 200
    assert session.get("/me").status_code == 200
    assert len(provider.calls("/api/me")) == 5, "an answer without one leaves the former"


@pytest.mark.security("F3")
@pytest.mark.parametrize("path", ["/token", "/userinfo", "/api/me"])
def test_an_endless_series_of_challenges_costs_one_resend(provider: Provider, path: str) -> None:
    handler = make_api(provider)
    token = redeem(handler, provider)
    calls = len(provider.calls(path))
    counter = iter(range(100))

    def challenge(_request: Request) -> Answer:
        answer = demand(f"n-{next(counter)}")
        answer.status = 400 if path == "/token" else 401
        answer.body = {"error": "use_dpop_nonce"}
        return answer

    provider.on(path, challenge)
    if path == "/api/me":
        assert handler.session(token).get("/me").status_code == 401
    else:
        with pytest.raises(Exception, match="use_dpop_nonce"):
            handler.refresh_token(token) if path == "/token" else handler.fetch_identity(token)
    assert len(provider.calls(path)) == calls + 2


@pytest.mark.security("F3")
@pytest.mark.parametrize("nonce", ["", "a b", 'a"b', "a\\b", "n" * 10_000, "\x80", "é"])
def test_a_nonce_that_the_rfc_forbids_is_not_sent_back(provider: Provider, nonce: str) -> None:
    session = open_session(provider)
    provider.on("/api/me", demand(nonce), times=1)
    assert session.get("/me").status_code == 401
    assert session.get("/me").status_code == 200
    assert "nonce" not in list(provider.proofs.values())[-1]


@pytest.mark.security("F3")
def test_a_nonce_belongs_to_its_origin(provider: Provider, make_provider: MakeProvider) -> None:
    api = make_provider(dpop=True, dpop_nonce="of-the-api")
    api.grants = provider.grants
    provider.dpop_nonce = "of-the-provider"
    session = open_session(provider, api_url=api.api_url)
    assert session.get("/me").status_code == 200
    told = {proof["htu"]: proof.get("nonce") for proof in api.proofs.values()}
    assert "of-the-provider" not in told.values()
    assert all(
        proof["nonce"] == "of-the-provider"
        for proof in provider.proofs.values()
        if "nonce" in proof
    )


@pytest.mark.security("F3")
@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/a",
        "https://api.example",
        "https://api.example:443/a?b",
        "https://API.Example/",
        "HTTPS://ada:pass@api.example/",
    ],
)
def test_an_origin_has_one_nonce_however_it_is_spelled(url: str) -> None:
    nonces = Nonces()
    assert nonces.keep(url, {"DPoP-Nonce": "n-1"})
    assert nonces.get("https://api.example/b") == "n-1"
    others = ["http://api.example/", "https://api.example:444/", "https://x.api.example/"]
    assert [nonces.get(other) for other in others] == [None] * 3


@pytest.mark.security("F3")
def test_nonces_of_many_origins_are_bounded() -> None:
    nonces = Nonces()
    for number in range(2 * MOST):
        assert nonces.keep(f"https://{number}.example/x", {"DPoP-Nonce": f"n-{number}"})
    known = [nonces.get(f"https://{number}.example") for number in range(2 * MOST)]
    assert [nonce for nonce in known if nonce] == [f"n-{n}" for n in range(MOST, 2 * MOST)]


# -- what an attacker gets


@pytest.mark.security("F2")
def test_a_stolen_token_is_worth_nothing_without_its_key(provider: Provider) -> None:
    handler = make_api(provider)
    token = redeem(handler, provider)
    stolen = Token(dict(token))
    with pytest.raises(ConfigurationError, match="bound to a key"):
        handler.session(stolen)
    stolen.dpop_key = new_key()
    assert handler.session(stolen).get("/me").status_code == 401
    with pytest.raises(TokenError, match="another key"):
        handler.refresh_token(stolen)


@pytest.mark.security("F1")
def test_the_provider_refuses_a_proof_that_was_seen_before(provider: Provider) -> None:
    session = open_session(provider)
    seen: list[Request] = []
    provider.on("/api/me", lambda request: seen.append(request))
    session.get("/me")
    (request,) = seen
    replayed = requests.get(f"{provider.api_url}/me", headers=dict(request.headers), timeout=5)
    assert replayed.status_code == 401


@pytest.mark.security("F2")
def test_a_key_is_in_no_repr_and_no_member(provider: Provider) -> None:
    token = redeem(make_api(provider), provider)
    key = token.dpop_key
    assert key is not None
    assert key.secret is not None
    shown = f"{token!r} {token} {key!r} {Prover(key, Nonces())!r} {dict(token)}"
    assert key.secret not in shown
    assert "DPoPKey" not in repr(dict(token))
    own = make_api(provider, dpop=OWN.as_dict(private=True))
    assert (
        str(OWN.as_dict(private=True)["d"])
        not in f"{own!r} {own.own_dpop_key!r} {own.resource_server!r}"
    )


def test_a_token_keeps_its_key_when_it_is_copied(provider: Provider) -> None:
    token = redeem(make_api(provider), provider)
    key = t.cast(DPoPKey, token.dpop_key)
    copies = [token.copy(), Token(token, scope="x"), token | {"a": 1}, {"a": 1} | token]
    assert all(each.dpop_key is key for each in copies)
    pickled = pickle.loads(pickle.dumps(token))  # noqa: S301
    assert pickled.dpop_key.thumbprint == key.thumbprint


@pytest.mark.parametrize(
    ("own", "alg"),
    [
        (ECKey.generate_key("P-256"), "ES256"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
        (RSAKey.generate_key(2048), "PS256"),
    ],
    ids=["EC", "Ed", "RSA"],
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_the_clients_key_may_be_of_any_type(own: t.Any, alg: str) -> None:
    key = read_own_key("dpop", own.as_dict(private=True))
    registry = jws.JWSRegistry(algorithms=[alg])
    registry.max_header_length = 1000
    proof = make_proof(key, "GET", "https://a.example/")
    found = jws.deserialize_compact(proof, own, registry=registry)
    header = found.headers()
    assert header["alg"] == key.algorithm == alg
    assert header["jwk"].items() <= own.as_dict(private=False).items()
    assert not {"d", "p", "q", "kid", "use"} & set(header["jwk"])
    assert key.thumbprint == own.thumbprint()


@pytest.mark.security("F2")
def test_a_proof_says_nothing_of_the_key_but_its_public_part() -> None:
    key = new_key()
    assert key.public_jwk.keys() == {"kty", "crv", "x", "y"}
    assert len(make_proof(key, "GET", "https://a.example/", access_token="t" * 4000)) < 700
