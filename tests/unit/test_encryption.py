"""Tokens that are encrypted for the client: which are opened, and which are not."""

from __future__ import annotations

import json
import typing as t

import pytest
from joserfc import jwk

from flask_oauth2_login import ConfigurationError, IDTokenError
from flask_oauth2_login.protocol import base64url
from flask_oauth2_login.protocol.encryption import decrypt, read_decryption_keys
from tests.support.provider import REMOVED, encrypt
from tests.support.provider.encryption import make_encryption_key
from tests.support.provider.signing import Overrides, override

EC = make_encryption_key()
OTHER = make_encryption_key()
RSA = make_encryption_key("RSA")
X25519 = make_encryption_key("X25519")

#: What is inside: any three parts.
INNER = "eyJhbGciOiJub25lIn0.e30."

Key = t.Any


def keys_of(*keys: Key) -> t.Any:
    return read_decryption_keys("decryption_key", [key.as_dict(private=True) for key in keys])


@pytest.mark.parametrize("enc", ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"])
@pytest.mark.parametrize("alg", ["ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"])
def test_a_curve_opens_what_is_encrypted_for_it(alg: str, enc: str) -> None:
    assert decrypt(encrypt(INNER, EC, alg, enc), keys_of(EC)) == INNER


@pytest.mark.parametrize("kind", ["P-384", "P-521", "X25519"])
def test_other_curves_open_what_is_encrypted_for_them(kind: str) -> None:
    key = make_encryption_key(kind)
    assert decrypt(encrypt(INNER, key, "ECDH-ES+A256KW"), keys_of(key)) == INNER


def test_an_rsa_key_opens_what_is_encrypted_for_it() -> None:
    assert decrypt(encrypt(INNER, RSA, "RSA-OAEP-256"), keys_of(RSA)) == INNER


@pytest.mark.parametrize("key", [EC, RSA, X25519], ids=["EC", "RSA", "X25519"])
def test_a_key_may_be_pem(key: Key) -> None:
    alg = "RSA-OAEP-256" if key is RSA else "ECDH-ES"
    (opener,) = read_decryption_keys("decryption_key", key.as_pem(private=True).decode())
    assert decrypt(encrypt(INNER, key, alg, header={"kid": opener.kid}), [opener]) == INNER


@pytest.mark.parametrize("kid", [None, "a-name-of-the-providers-own"])
def test_each_key_is_tried_if_none_is_named(kid: str | None) -> None:
    token = encrypt(INNER, EC, header={"kid": kid})
    assert decrypt(token, keys_of(RSA, OTHER, X25519, EC)) == INNER


def test_the_key_that_is_named_is_the_only_one_tried() -> None:
    token = encrypt(INNER, EC, header={"kid": OTHER.thumbprint()})
    with pytest.raises(IDTokenError, match="no key of decryption_key decrypts it"):
        decrypt(token, keys_of(EC, OTHER))


def test_a_header_may_repeat_claims() -> None:
    token = encrypt(INNER, EC, header={"iss": "https://sso.example", "aud": "the-client"})
    assert decrypt(token, keys_of(EC)) == INNER


def test_operations_that_a_key_is_for_may_have_any_name() -> None:
    own = {**RSA.as_dict(private=True), "key_ops": ["unwrapKey"], "use": "enc"}
    keys = read_decryption_keys("decryption_key", own)
    assert decrypt(encrypt(INNER, RSA, "RSA-OAEP-256"), keys) == INNER


@pytest.mark.security("F7")
@pytest.mark.parametrize(
    ("alg", "enc", "key"),
    [
        pytest.param("RSA-OAEP", "A256GCM", RSA, id="RSA-OAEP"),
        pytest.param("RSA1_5", "A256GCM", RSA, id="RSA1_5"),
        pytest.param("dir", "A128GCM", jwk.OctKey.generate_key(128), id="dir"),
        pytest.param("A128KW", "A128GCM", jwk.OctKey.generate_key(128), id="A128KW"),
        pytest.param("PBES2-HS256+A128KW", "A128GCM", jwk.OctKey.generate_key(128), id="PBES2"),
        pytest.param("ECDH-ES", "A192CBC-HS384", EC, id="A192CBC"),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_other_algorithms_are_refused_by_name(alg: str, enc: str, key: Key) -> None:
    token = encrypt(INNER, key, alg, enc)
    with pytest.raises(IDTokenError, match="is not supported: register the client for"):
        decrypt(token, keys_of(EC, RSA))


@pytest.mark.security("F7")
def test_a_compressed_token_is_not_unpacked() -> None:
    token = encrypt("0" * 50_000, EC, header={"zip": "DEF"})
    with pytest.raises(IDTokenError, match="it is compressed"):
        decrypt(token, keys_of(EC))


@pytest.mark.security("F7")
@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"crit": ["exp"], "exp": 1}, "critical"),
        ({"alg": ["ECDH-ES"]}, "not supported"),
        ({"enc": REMOVED}, "not supported"),
        ({"alg": REMOVED}, "not supported"),
        ({"epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}, "no key"),
        ({"epk": OTHER.as_dict(private=False)}, "no key"),
        ({"epk": X25519.as_dict(private=False)}, "no key"),
        ({"epk": 7}, "no key"),
        ({"jwk": OTHER.as_dict(private=True), "kid": "other"}, "no key"),
    ],
    ids=["crit", "list", "no enc", "no alg", "no point", "epk", "epk X25519", "number", "jwk"],
)
def test_a_changed_header_opens_nothing(header: Overrides, why: str) -> None:
    first, _, rest = encrypt(INNER, EC).partition(".")
    members = override(json.loads(base64url.decode(first)), header)
    changed = base64url.encode(json.dumps(members).encode())
    with pytest.raises(IDTokenError, match=why):
        decrypt(f"{changed}.{rest}", keys_of(EC))


@pytest.mark.security("F7")
@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_a_changed_part_opens_nothing(part: int) -> None:
    parts = encrypt(INNER, EC, "ECDH-ES+A128KW").split(".")
    parts[part] = parts[part][:-4]
    with pytest.raises(IDTokenError, match="no key of decryption_key decrypts it"):
        decrypt(".".join(parts), keys_of(EC))


@pytest.mark.security("F7")
def test_a_token_inside_a_token_inside_a_token_is_refused() -> None:
    with pytest.raises(IDTokenError, match="it contains another encrypted token"):
        decrypt(encrypt(encrypt(INNER, EC), EC), keys_of(EC))


@pytest.mark.security("F7")
def test_a_long_token_is_refused_before_anything_is_decrypted() -> None:
    with pytest.raises(IDTokenError, match="longer than 100000 characters"):
        decrypt(encrypt("0" * 80_000, EC), keys_of(EC))


def test_without_a_key_the_option_is_named() -> None:
    with pytest.raises(IDTokenError, match="decryption_key="):
        decrypt(encrypt(INNER, EC), ())


def test_a_large_token_is_opened() -> None:
    assert decrypt(encrypt("0" * 60_000, EC), keys_of(EC)) == "0" * 60_000


def test_the_public_key_says_what_it_is_for() -> None:
    own = {**RSA.as_dict(private=True), "alg": "RSA-OAEP-256", "kid": "new", "key_ops": ["decrypt"]}
    (key,) = read_decryption_keys("decryption_key", own)
    public = RSA.as_dict(private=False)
    assert key.public_jwk == {
        "kty": "RSA", "n": public["n"], "e": public["e"],
        "kid": "new", "use": "enc", "alg": "RSA-OAEP-256",
    }  # fmt: skip


ED = jwk.OKPKey.generate_key("Ed25519").as_dict(private=True)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (ED, "for signatures"),
        ({**EC.as_dict(private=True), "use": "sig"}, "for signatures"),
        ({**RSA.as_dict(private=True), "alg": "RSA-OAEP"}, "RSA-OAEP-256"),
        ({**EC.as_dict(private=True), "alg": "A128KW"}, "ECDH-ES"),
        (EC.as_dict(private=False), "public key"),
        ([], "no key"),
    ],
    ids=["Ed25519", "sig", "RSA-OAEP", "A128KW", "public", "none"],
)
def test_a_key_that_can_not_decrypt_is_refused_at_once(given: t.Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_decryption_keys("decryption_key", given)
