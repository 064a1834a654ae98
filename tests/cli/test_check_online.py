"""`flask oauth2 check --online`: what the doctor asks a provider, and how it reads the answers."""

from __future__ import annotations

import time
import typing as t
from email.utils import formatdate

import pytest
from flask import Flask
from joserfc.jwk import ECKey

from flask_oauth2_login import OAuth2, OAuth2Login
from flask_oauth2_login.protocol.new_key import make_key
from tests.cli.commands import GOOD, Found, examine, run
from tests.conftest import MakeApp, MakeProvider
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import Answer, Provider
from tests.support.provider.encryption import make_encryption_key

CALLBACK = "https://app.example/callback"
#: The three answers, by the level of a finding.
ACCEPTED, REFUSED, UNKNOWN = "ok", "error", "unknown"

Options = dict[str, t.Any]


def make_plain(provider: Provider, make_app: MakeApp, **options: t.Any) -> Flask:
    """An app with a login by the provider's endpoints."""
    return make_app(OAuth2Login(make_handler(provider, **options), scope="read"), **GOOD)


def make_sso(provider: Provider, make_app: MakeApp, **options: t.Any) -> Flask:
    """An app with a login by the provider's issuer."""
    return make_app(OAuth2Login(make_openid(provider, **options), name="sso"), **GOOD)


MAKERS = pytest.mark.parametrize("make", [make_plain, make_sso])
Make = t.Callable[..., Flask]


def ask(app: Flask) -> dict[Found, dict[str, t.Any]]:
    return examine(app, "--online")


def answer_to(app: Flask, topic: str) -> tuple[str, str]:
    """The answer to one question, and the sentence that says it."""
    (finding,) = [each for found, each in ask(app).items() if found.topic == topic]
    return finding["level"], finding["what"]


@MAKERS
def test_a_good_login_is_told_so(provider: Provider, make_app: MakeApp, make: Make) -> None:
    app = make(provider, make_app)
    levels = {found.level for found in ask(app)}
    assert levels <= {"ok", "note"}
    told = run(app, "check", "--online").stdout
    assert "Client id and secret: accepted." in told
    assert f"The redirect URI {CALLBACK}: accepted." in told
    assert provider.calls("/token", grant_type="authorization_code")
    if make is make_sso:
        assert {Found("ok", each) for each in ("discovery", "keys")} <= ask(app).keys()


def test_nobody_is_asked_without_the_option(provider: Provider, make_app: MakeApp) -> None:
    examine(make_sso(provider, make_app))
    assert provider.requests == []


# The client


@MAKERS
@pytest.mark.parametrize("what", ["client_id", "client_secret"])
def test_a_wrong_client_is_refused(
    provider: Provider, make_app: MakeApp, make: Make, what: str
) -> None:
    app = make(provider, make_app)
    setattr(provider, what, "another")
    level, text = answer_to(app, "client")
    assert level == REFUSED
    assert "invalid_client" in text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(400, {"error": "invalid_grant"}), ACCEPTED),
        # GitHub's.
        (Answer(200, {"error": "bad_verification_code"}), ACCEPTED),
        (Answer(200, {"error": "incorrect_client_credentials"}), REFUSED),
        (Answer(401, {"error": "invalid_client"}), REFUSED),
        (Answer(400, {"error": "unauthorized_client"}), REFUSED),
        (Answer(400, {"message": "Invalid client secret"}), REFUSED),
        (Answer(400, {"message": "The authorization code is invalid"}), ACCEPTED),
        (Answer(400, {"error": "invalid_request"}), UNKNOWN),
        (Answer(429, {"error": "slow_down"}), UNKNOWN),
        (Answer(503, "<h1>Down</h1>"), UNKNOWN),
        (Answer(404, "<h1>Not here</h1>"), UNKNOWN),
        (Answer(200, {"access_token": "for any code", "token_type": "Bearer"}), UNKNOWN),
        (Answer(204), UNKNOWN),
    ],
)
def test_each_answer_about_the_client_is_read(
    provider: Provider, make_app: MakeApp, answer: Answer, expected: str
) -> None:
    provider.on("/token", answer)
    level, text = answer_to(make_plain(provider, make_app), "client")
    assert level == expected
    words = {ACCEPTED: "accepted.", REFUSED: "refused.", UNKNOWN: "can't be told."}
    assert text.startswith(f"Client id and secret: {words[expected]}")


@pytest.mark.security("C1")
@MAKERS
def test_no_secret_is_shown_whatever_the_provider_quotes(
    provider: Provider, make_app: MakeApp, make: Make
) -> None:
    def quote(request: t.Any) -> Answer:
        sent = f"{request.headers.get('Authorization')} {request.body.decode()}"
        return Answer(401, {"error": "invalid_client", "error_description": sent})

    app = make(provider, make_app)
    provider.on("/token", quote)
    for arguments in ([], ["--json"]):
        output = run(app, "check", "--online", *arguments).output
        assert "invalid_client" in output
        assert "the-secret" not in output
        assert "made-up-" not in output


# The redirect URI


@MAKERS
def test_a_redirect_uri_that_is_not_registered_is_refused(
    provider: Provider, make_app: MakeApp, make: Make
) -> None:
    app = make(provider, make_app)
    provider.redirect_uris = ["https://app.example/other"]
    level, text = answer_to(app, "redirect-uri-accepted")
    assert level == REFUSED
    assert CALLBACK in text
    assert "redirect_uri is not registered" in text
    provider.redirect_uris.append(CALLBACK)
    assert answer_to(app, "redirect-uri-accepted")[0] == ACCEPTED


def redirect(target: str) -> Answer:
    return Answer(302, headers={"Location": target})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (redirect(f"{CALLBACK}?error=login_required&state=s"), ACCEPTED),
        (redirect(f"{CALLBACK}?code=one"), ACCEPTED),
        (Answer(200, f'<form method="post" action="{CALLBACK}"></form>'), ACCEPTED),
        (redirect("https://provider.example/signin/oauth/error?authError=x"), REFUSED),
        (redirect("/oops?error=redirect_uri_mismatch"), REFUSED),
        (Answer(403, "<p>Callback URL mismatch"), REFUSED),
        (Answer(200, "<h1>Invalid redirect_uri</h1>"), REFUSED),
        (redirect("/login?return_to=/authorize"), UNKNOWN),
        (redirect(f"{CALLBACK}-of-another?code=one"), UNKNOWN),
        (Answer(200, "<h1>Sign in</h1>"), UNKNOWN),
        (Answer(429, "<h1>Not so fast</h1>"), UNKNOWN),
        (Answer(500, "<h1>Down</h1>"), UNKNOWN),
    ],
)
def test_each_answer_about_the_redirect_uri_is_read(
    provider: Provider, make_app: MakeApp, answer: Answer, expected: str
) -> None:
    # The first request, without parameters, asks for the clock.
    provider.on("/authorize", lambda request: answer if request.query else None)
    level, text = answer_to(make_plain(provider, make_app), "redirect-uri-accepted")
    assert level == expected
    words = {ACCEPTED: "accepted.", REFUSED: "refused.", UNKNOWN: "can't be told."}
    assert text.startswith(f"The redirect URI {CALLBACK}: {words[expected]}")


def test_another_error_of_an_accepted_redirect_uri_is_told(
    provider: Provider, make_app: MakeApp
) -> None:
    answer = redirect(f"{CALLBACK}?error=invalid_scope")
    provider.on("/authorize", lambda request: answer if request.query else None)
    found = ask(make_plain(provider, make_app))
    assert "invalid_scope" in found[Found("warning", "authorization")]["what"]


def test_a_redirect_uri_of_each_request_cant_be_told(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    level, text = answer_to(app, "redirect-uri-accepted")
    assert level == UNKNOWN
    assert "It is made of each request." in text
    assert answer_to(app, "client")[0] == ACCEPTED


# Metadata, keys, clock, TLS


def test_metadata_of_another_issuer_are_an_error(provider: Provider, make_app: MakeApp) -> None:
    provider.metadata_overrides = {"issuer": "https://other.example"}
    found = ask(make_sso(provider, make_app))
    assert "https://other.example" in found[Found("error", "discovery")]["what"]
    assert provider.calls("/token") == [], "nothing more is asked"


@pytest.mark.parametrize(
    "answer", [Answer(200, {"keys": []}), Answer(200, "nonsense"), Answer(500)]
)
def test_a_key_set_without_a_key_is_an_error(
    provider: Provider, make_app: MakeApp, answer: Answer
) -> None:
    provider.on("/jwks", answer)
    assert Found("error", "keys") in ask(make_sso(provider, make_app))


@pytest.mark.parametrize(
    ("ahead", "level"),
    [(0, "ok"), (30, "warning"), (-30, "warning"), (200, "error"), (-200, "error")],
)
def test_clocks_that_differ_are_found(
    provider: Provider, make_app: MakeApp, ahead: int, level: str
) -> None:
    def dated(request: t.Any) -> Answer:
        return Answer(400, "no", headers={"Date": formatdate(time.time() + ahead, usegmt=True)})

    provider.on("/authorize", dated)
    found = ask(make_sso(provider, make_app))
    told = found[Found(level, "clock")]["what"]
    assert ahead == 0 or ("behind" if ahead > 0 else "ahead of") in told


@pytest.mark.parametrize("date", [None, "yesterday", "Thu, 99 Nov 2026 00:00:00 GMT"])
def test_an_answer_without_a_time_says_nothing_of_the_clock(
    provider: Provider, make_app: MakeApp, date: str | None
) -> None:
    headers = {} if date is None else {"Date": date}
    provider.on("/authorize", Answer(400, "no", headers=headers))
    assert "clock" not in {found.topic for found in ask(make_plain(provider, make_app))}


def test_a_certificate_is_accepted_or_refused(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider = make_provider(tls=True)
    trusting = ask(make_sso(provider, make_app, verify=provider.ca_file))
    assert Found("ok", "tls") in trusting
    found = ask(make_sso(provider, make_app))
    assert "verify=" in found[Found("error", "tls")]["fix"]


@MAKERS
def test_a_provider_that_is_down_is_an_error(
    provider: Provider, make_app: MakeApp, make: Make
) -> None:
    app = make(provider, make_app)
    provider.down()
    assert "can't be reached" in ask(app)[Found("error", "unreachable")]["what"]


@pytest.mark.parametrize(
    ("supported", "level", "text"),
    [
        (["RSA-OAEP", "ECDH-ES"], "ok", "by ECDH-ES."),
        (["RSA-OAEP", "dir"], "error", "by RSA-OAEP, dir"),
        (..., "note", "does not say"),
    ],
    ids=["fits", "does not fit", "not said"],
)
def test_it_says_whether_the_provider_can_encrypt_for_the_key(
    provider: Provider, make_app: MakeApp, supported: t.Any, level: str, text: str
) -> None:
    provider.metadata_overrides = {"id_token_encryption_alg_values_supported": supported}
    key = make_encryption_key().as_dict(private=True)
    found, what = answer_to(make_sso(provider, make_app, decryption_key=key), "encryption")
    assert found == level
    assert text in what


# Proofs


@pytest.mark.parametrize(
    ("supported", "level"),
    [(["PS256", "ES256"], "ok"), (["PS256"], "error"), (..., "note")],
    ids=["fits", "does not fit", "not said"],
)
def test_the_algorithms_of_proofs_are_compared(
    make_provider: MakeProvider, make_app: MakeApp, supported: t.Any, level: str
) -> None:
    provider = make_provider(dpop=True, dpop_nonce="n-1")
    provider.metadata_overrides = {"dpop_signing_alg_values_supported": supported}
    app = make_sso(provider, make_app, dpop=True)
    found, _ = answer_to(app, "dpop")
    assert found == level
    assert answer_to(app, "client")[0] == ACCEPTED


# Requests that are pushed or signed, and answers that are signed


def make_strict(provider: Provider, make_app: MakeApp, **options: t.Any) -> Flask:
    """An app that pushes its requests."""
    return make_sso(provider, make_app, **{"par": True, **options})


def test_a_pushed_request_tells_of_client_and_redirect_uri(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.require_par = True
    app = make_sso(provider, make_app)
    assert {found.level for found in ask(app)} <= {"ok", "note"}
    assert not any(call.query for call in provider.calls("/authorize"))
    assert provider.calls("/token") == []
    provider.redirect_uris = ["https://app.example/other"]
    level, text = answer_to(app, "redirect-uri-accepted")
    assert level == REFUSED
    assert "not registered" in text
    assert answer_to(app, "client")[0] == ACCEPTED


def test_a_pushed_request_of_a_wrong_client_is_refused(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_strict(provider, make_app)
    provider.client_secret = "another"
    assert answer_to(app, "client")[0] == REFUSED
    assert answer_to(app, "redirect-uri-accepted")[0] == UNKNOWN


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(400, {"error": "invalid_redirect_uri"}), REFUSED),
        (Answer(400, {"error": "invalid_request", "error_description": "redirect_uri?"}), REFUSED),
        (Answer(400, {"error": "invalid_scope"}), UNKNOWN),
        (Answer(503), UNKNOWN),
        (Answer(404, "<h1>Not here</h1>"), UNKNOWN),
    ],
    ids=["code", "description", "scope", "down", "missing"],
)
def test_each_answer_to_a_push_is_read(
    provider: Provider, make_app: MakeApp, answer: Answer, expected: str
) -> None:
    provider.on("/par", answer)
    app = make_strict(provider, make_app)
    assert answer_to(app, "redirect-uri-accepted")[0] == expected
    assert answer_to(app, "client")[0] == ACCEPTED, "a token request tells it then"


#: What the metadata say, the handler's options, and the topic of the error that this causes.
MISFITS: dict[str, tuple[Options, Options, str | None]] = {
    "not-pushed": (
        {"require_pushed_authorization_requests": True},
        {"par": False},
        "pushed-request",
    ),
    "nowhere": (
        {"pushed_authorization_request_endpoint": None},
        {"par": True},
        "pushed-request",
    ),
    "not-signed": ({"require_signed_request_object": True}, {}, "signed-request"),
    "algorithm": (
        {"request_object_signing_alg_values_supported": ["RS256"]},
        {"jar": True},
        "signed-request",
    ),
    "not-in-urls": ({"request_parameter_supported": False}, {"jar": True}, "signed-request"),
    "pushed-and-signed": ({"request_parameter_supported": False}, {"jar": True, "par": True}, None),
    "mode": ({"response_modes_supported": ["query"]}, {"response_mode": "jwt"}, "signed-response"),
    "response-algorithm": (
        {"authorization_signing_alg_values_supported": ["HS256"]},
        {"response_mode": "jwt"},
        "signed-response",
    ),
    "all-fits": ({}, {"jar": True, "par": True, "response_mode": "form_post.jwt"}, None),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_options_that_do_not_fit_the_metadata_are_told(
    provider: Provider, make_app: MakeApp, kind: str
) -> None:
    said, options, topic = MISFITS[kind]
    key = ECKey.generate_key("P-256")
    provider.client_keys = [{**key.as_dict(private=False), "kid": key.thumbprint()}]
    provider.metadata_overrides = said
    if options.get("jar"):
        options = {**options, "private_key": key.as_dict(private=True)}
    app = make_sso(provider, make_app, **options)
    errors = {found.topic for found in ask(app) if found.level == "error"}
    assert errors == ({topic} if topic else set())


@pytest.mark.parametrize(
    ("modes", "fix"),
    [
        (["query", "query.jwt"], "Use one that they name: query.jwt."),
        (["query", "fragment"], "They name none that is signed: leave it out."),
    ],
    ids=["another", "none"],
)
def test_only_signed_modes_are_named_in_place_of_a_signed_one(
    provider: Provider, make_app: MakeApp, modes: list[str], fix: str
) -> None:
    provider.metadata_overrides = {"response_modes_supported": modes}
    found = ask(make_sso(provider, make_app, response_mode="jwt"))
    assert found[Found("error", "signed-response")]["fix"].startswith(fix)


def test_the_keys_of_signed_answers_are_looked_at_without_openid(
    provider: Provider, make_app: MakeApp
) -> None:
    handler = OAuth2("the-client", "the-secret", issuer=provider.issuer, response_mode="jwt")
    app = make_app(OAuth2Login(handler), **GOOD)
    assert answer_to(app, "keys")[0] == ACCEPTED
    provider.on("/jwks", Answer(200, {"keys": []}))
    assert answer_to(app, "keys")[0] == REFUSED


# Clients with keys


def with_key(make_provider: MakeProvider, **settings: t.Any) -> tuple[Provider, Options]:
    """A provider that knows the client's key, and the handler's options."""
    key = make_key("ES256")
    known = {
        "client_secret": None,
        "client_auth_methods": {"private_key_jwt"},
        "client_keys": [{name: value for name, value in key.items() if name != "d"}],
    }
    return make_provider(**{**known, **settings}), {"private_key": key}


def test_a_client_with_a_key_is_told_where_its_public_key_is(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider, options = with_key(make_provider)
    found = ask(make_sso(provider, make_app, **options))
    note = found[Found("note", "client-keys")]
    assert "https://app.example/jwks.json" in note["what"]
    signs = found[Found("ok", "client-auth")]
    assert "signs its assertions by ES256, with the key " in signs["what"]
    assert found[Found("ok", "client")]["what"] == "Client id and key: accepted."
    # There is no such host.
    assert "can't be read from here" in found[Found("unknown", "client-keys")]["what"]


@pytest.mark.parametrize(
    ("served", "expected"), [("same", "ok"), ("other", "error"), ("none", "unknown")]
)
def test_the_keys_that_are_served_are_compared(
    make_provider: MakeProvider, make_app: MakeApp, served: str, expected: str
) -> None:
    provider, options = with_key(make_provider)
    keys = {"same": provider.client_keys, "other": [make_key("ES256")]}
    provider.on(
        "/jwks.json", Answer(*((200, {"keys": keys[served]}) if served in keys else (404,)))
    )
    app = make_sso(provider, make_app, redirect_uri=f"{provider.url}/callback", **options)
    assert Found(expected, "client-keys") in ask(app)
    assert len(provider.calls("/jwks.json")) == 1


def test_a_client_whose_key_is_refused_is_told_to_compare_the_key(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider, options = with_key(make_provider, client_keys=[])
    refused = ask(make_sso(provider, make_app, **options))[Found("error", "client")]
    assert refused["what"].startswith("Client id and key: refused. ")
    assert "jwks.json" in refused["what"]
    assert "secret" not in refused["fix"]


def test_a_provider_without_the_method_or_the_algorithm_is_told(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider, options = with_key(make_provider, assertion_algorithms=["PS256"])
    found = ask(make_sso(provider, make_app, **options))
    assert "accepts PS256" in found[Found("error", "private-key")]["what"]
    provider, options = with_key(make_provider, client_auth_methods={"client_secret_jwt"})
    what = ask(make_sso(provider, make_app, **options))[Found("warning", "client-auth")]["what"]
    assert "by private_key_jwt, and the provider's metadata name client_secret_jwt" in what
