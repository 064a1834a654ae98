"""An OpenID Provider that encrypts what it sends: ID tokens, UserInfo and logout tokens."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError, IDTokenError
from tests.conftest import SSO, MakeSSO
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_openid_client, redeem_openid
from tests.support.provider import Provider, encrypt, make_key
from tests.support.provider.encryption import make_encryption_key

KEY = make_encryption_key()


@pytest.fixture
def encrypting(provider: Provider) -> Provider:
    """A provider that encrypts all that it signs for the client."""
    provider.encrypted_by = lambda text: encrypt(text, KEY, "ECDH-ES+A256KW", "A256GCM")
    return provider


@pytest.fixture
def encrypted_sso(encrypting: Provider, make_sso: MakeSSO) -> SSO:
    return make_sso(handler={"decryption_key": KEY.as_dict(private=True)})


def test_an_encrypted_id_token_signs_in_and_is_refreshed(
    encrypting: Provider, make_sso: MakeSSO
) -> None:
    sso = make_sso(handler={"decryption_key": KEY.as_dict(private=True)}, claims=["groups"])
    for groups in (["staff"], ["staff", "board"]):
        encrypting.id_token_options = {"claims": {"groups": groups}}
        if not is_signed_in(sso.browser):
            assert sso.browser.sign_in().status_code == 302
        else:
            encrypting.grants.expire_access()
            assert sso.browser.fetch("/call/x").status_code == 200
        assert sso.browser.fetch("/me").get_json()["claims"] == {"groups": groups}


def test_a_provider_that_signs_alone_is_accepted_too(provider: Provider, make_sso: MakeSSO) -> None:
    sso = make_sso(handler={"decryption_key": KEY.as_dict(private=True)})
    assert sso.browser.sign_in().status_code == 302


@pytest.mark.security("E3", "F7")
@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(lambda p: p.id_token(alg="none"), id="none"),
        pytest.param(lambda p: p.id_token(key=make_key("RS256", 9)), id="key of another"),
        pytest.param(lambda p: p.id_token(key=b"the-secret", alg="HS256"), id="HMAC"),
        pytest.param(lambda p: p.id_token({"aud": "another"}), id="audience"),
        pytest.param(lambda p: p.id_token({"nonce": "another"}), id="nonce"),
        pytest.param(lambda p: encrypt(p.id_token(), KEY), id="encrypted"),
        pytest.param(lambda _: '{"sub": "ada"}', id="claims alone"),
    ],
)
def test_encryption_proves_nothing(
    encrypting: Provider, encrypted_sso: SSO, inner: t.Callable[[Provider], str]
) -> None:
    encrypting.id_token_maker = lambda _: inner(encrypting)
    assert encrypted_sso.browser.sign_in().status_code in {400, 502}
    assert not is_signed_in(encrypted_sso.browser)


@pytest.mark.security("E8")
def test_a_refreshed_id_token_about_somebody_else_ends_the_login(
    encrypting: Provider, encrypted_sso: SSO
) -> None:
    encrypted_sso.browser.sign_in()
    encrypting.id_token_options = {"claims": {"sub": "somebody-else"}}
    encrypting.grants.expire_access()
    assert encrypted_sso.browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(encrypted_sso.browser)


@pytest.mark.security("E8")
def test_a_refreshed_id_token_that_can_not_be_decrypted_is_left_aside(
    encrypting: Provider, encrypted_sso: SSO, caplog: pytest.LogCaptureFixture
) -> None:
    encrypted_sso.browser.sign_in()
    encrypting.encrypted_by = lambda text: encrypt(text, make_encryption_key())
    encrypting.grants.expire_access()
    assert encrypted_sso.browser.fetch("/call/x").status_code == 200
    assert is_signed_in(encrypted_sso.browser)
    assert "no key of decryption_key decrypts it" in caplog.text


@pytest.mark.security("E6")
@pytest.mark.parametrize("is_signed", [False, True], ids=["encrypted", "signed and encrypted"])
def test_encrypted_userinfo_is_read(encrypting: Provider, is_signed: bool) -> None:
    encrypting.claims_in_id_token, encrypting.userinfo_signed = False, is_signed
    handler = make_openid_client(encrypting, decryption_key=KEY.as_dict(private=True))
    identity = handler.fetch_identity(redeem_openid(encrypting, handler))
    assert identity.email == "ada@example.com"


@pytest.mark.security("E6")
@pytest.mark.parametrize("is_signed", [False, True], ids=["encrypted", "signed and encrypted"])
def test_encrypted_userinfo_about_somebody_else_is_rejected(
    encrypting: Provider, is_signed: bool
) -> None:
    encrypting.claims_in_id_token, encrypting.userinfo_signed = False, is_signed
    encrypting.userinfo_overrides = {"sub": "somebody-else"}
    handler = make_openid_client(encrypting, decryption_key=KEY.as_dict(private=True))
    token = redeem_openid(encrypting, handler)
    with pytest.raises(IDTokenError, match="somebody else"):
        handler.fetch_identity(token)


@pytest.mark.security("E6")
def test_userinfo_for_another_key_is_not_used(
    encrypting: Provider, encrypted_sso: SSO, caplog: pytest.LogCaptureFixture
) -> None:
    encrypting.claims_in_id_token = False

    def encrypt_otherwise(text: str) -> str:
        return encrypt(text, make_encryption_key() if text.startswith("{") else KEY)

    encrypting.encrypted_by = encrypt_otherwise
    assert encrypted_sso.browser.sign_in().status_code == 302
    assert encrypted_sso.browser.fetch("/me").get_json()["email"] is None
    assert "The UserInfo response can't be read" in caplog.text


@pytest.mark.security("D4")
def test_an_encrypted_logout_token_ends_the_session_it_names(
    encrypting: Provider, encrypted_sso: SSO
) -> None:
    encrypted_sso.browser.sign_in()
    client = encrypted_sso.app.test_client()
    forged = encrypting.encrypted(encrypting.logout_token(key=make_key("RS256", 9)))
    twice = encrypt(encrypting.encrypted(encrypting.logout_token()), KEY)
    for bad in (forged, twice):
        answer = client.post("/backchannel-logout", data={"logout_token": bad})
        assert answer.status_code == 400
    assert is_signed_in(encrypted_sso.browser)
    token = encrypting.encrypted(encrypting.logout_token())
    answer = client.post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 200
    assert not is_signed_in(encrypted_sso.browser)
    again = client.post("/backchannel-logout", data={"logout_token": token})
    assert again.status_code == 400


@pytest.mark.security("D5")
def test_signing_out_at_the_provider_names_the_id_token_inside(
    encrypting: Provider, encrypted_sso: SSO
) -> None:
    encrypted_sso.browser.sign_in()
    page = encrypted_sso.browser.post("/logout")
    hint = page.get_data(as_text=True).partition("id_token_hint=")[2].partition("&")[0]
    assert hint.count(".") == 2


@pytest.mark.security("C1")
def test_keys_and_tokens_are_in_no_log(
    encrypting: Provider, encrypted_sso: SSO, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        encrypted_sso.browser.sign_in()
        encrypting.id_token_maker = lambda _: "nonsense"
        encrypted_sso.browser.sign_in()
    private = str(KEY.as_dict(private=True)["d"])
    handler = make_openid_client(encrypting, decryption_key=KEY.as_dict(private=True))
    assert private not in caplog.text + repr(handler) + repr(handler.decryption_keys)
    assert "eyJ" not in caplog.text


def test_a_handler_has_its_public_keys(provider: Provider) -> None:
    newer = make_encryption_key("RSA")
    given = [key.as_dict(private=True) for key in (newer, KEY)]
    handler = make_openid_client(provider, decryption_key=given)
    public = [key.public_jwk for key in handler.decryption_keys]
    assert [(jwk["kty"], jwk["use"]) for jwk in public] == [("RSA", "enc"), ("EC", "enc")]
    assert make_openid_client(provider).decryption_keys == ()


def test_the_provider_fetches_the_public_keys(encrypted_sso: SSO) -> None:
    answer = encrypted_sso.app.test_client().get("/jwks.json")
    (jwk,) = answer.get_json()["keys"]
    assert jwk == {**KEY.as_dict(private=False), "kid": KEY.thumbprint(), "use": "enc"}


def test_a_wrong_key_is_refused_at_once(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="decryption_key has a public key"):
        make_openid_client(provider, decryption_key=KEY.as_dict(private=False))


@pytest.mark.security("F7")
def test_a_key_that_signs_does_not_decrypt(provider: Provider) -> None:
    own = KEY.as_dict(private=True)
    for other in (own, {**make_encryption_key().as_dict(private=True), "kid": KEY.thumbprint()}):
        with pytest.raises(ConfigurationError, match="has a key of private_key"):
            make_openid_client(provider, private_key=own, decryption_key=other)


@pytest.mark.parametrize("option", ["private_key", "dpop"])
@pytest.mark.parametrize(
    ("kind", "members"),
    [("X25519", {}), ("P-256", {"use": "enc"}), ("P-256", {"alg": "ECDH-ES"})],
    ids=["type", "use", "alg"],
)
def test_a_key_for_encryption_does_not_sign(
    provider: Provider, option: str, kind: str, members: dict[str, t.Any]
) -> None:
    key = make_encryption_key(kind).as_dict(private=True)
    with pytest.raises(ConfigurationError, match=f"^{option} has (a key that|keys for encryption)"):
        make_openid_client(provider, **{option: {**key, **members}})
