"""Private keys that a developer gives, in any form, and what they sign."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk, jws

from flask_oauth2_login import ConfigurationError
from flask_oauth2_login.protocol import base64url
from flask_oauth2_login.protocol.private_keys import read_private_keys, sign_jwt
from tests.support.provider.tls import write_files

EC = jwk.ECKey.generate_key("P-256")
ED = jwk.OKPKey.generate_key("Ed25519")
RSA = jwk.RSAKey.generate_key(2048)
WEAK = rsa.generate_private_key(65537, 1024).private_bytes(  # noqa: S505
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
#: Keys of each type, and the algorithm that each prefers.
KEYS: dict[str, tuple[t.Any, str]] = {
    "EC": (EC, "ES256"),
    "Ed": (ED, "EdDSA"),
    "RSA": (RSA, "PS256"),
}


def in_form(key: t.Any, form: str, folder: Path) -> t.Any:
    own = key.as_dict(private=True)
    if form == "pem":
        return key.as_pem(private=True).decode()
    if form == "jwk":
        return own
    if form == "json":
        return json.dumps(own)
    if form == "set":
        return {"keys": [own]}
    file = folder / "key"
    file.write_text(key.as_pem(private=True).decode() if form == "path" else json.dumps(own))
    return str(file) if form == "path" else file


@pytest.mark.parametrize("form", ["pem", "jwk", "json", "set", "path", "Path"])
@pytest.mark.parametrize("kind", list(KEYS))
def test_each_form_gives_the_same_key(kind: str, form: str, tmp_path: Path) -> None:
    key, preferred = KEYS[kind]
    (found,) = read_private_keys("private_key", in_form(key, form, tmp_path))
    assert found.algorithms[0] == preferred
    assert found.kid == key.thumbprint()
    public = key.as_dict(private=False)
    assert {n: v for n, v in found.public_jwk.items() if n in public} == public
    assert "d" not in found.public_jwk
    assert str(key.as_dict(private=True)["d"]) not in repr(found)


@pytest.mark.parametrize("kind", list(KEYS))
def test_what_a_key_signs_is_valid(kind: str) -> None:
    key, algorithm = KEYS[kind]
    (found,) = read_private_keys("private_key", key.as_dict(private=True))
    token = sign_jwt(found, algorithm, {"iss": "me"}, typ="JWT")
    header = jws.extract_compact(token.encode()).headers()
    assert header == {"alg": algorithm, "kid": found.kid, "typ": "JWT"}
    if algorithm == "EdDSA":
        signed, _, signature = token.rpartition(".")
        key.public_key.verify(base64url.decode(signature), signed.encode())
    else:
        obj = jws.deserialize_compact(token, key, algorithms=[algorithm])
        assert json.loads(obj.payload) == {"iss": "me"}


def test_several_keys_keep_their_order_and_names() -> None:
    keys = read_private_keys(
        "private_key", [{**EC.as_dict(private=True), "kid": "new"}, RSA.as_pem(private=True)]
    )
    assert [key.kid for key in keys] == ["new", RSA.thumbprint()]


def test_a_jwk_says_its_algorithm() -> None:
    (found,) = read_private_keys("private_key", {**RSA.as_dict(private=True), "alg": "RS256"})
    assert found.algorithms == ("RS256",)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "has no key"),
        (5, "of type int"),
        ("no such file", "nor the path of a file"),
        ("{", "nor valid JSON"),
        (EC.as_dict(private=False), "public key"),
        (RSA.as_pem(private=False).decode(), "public key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "not an unencrypted"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "not a key of the type"),
        ({**EC.as_dict(private=True), "alg": "RS256"}, "does not fit its key"),
        ([EC.as_dict(private=True), EC.as_dict(private=True)], "two keys with the kid"),
        (WEAK, "1024 bits"),
    ],
    ids=[
        "none",
        "number",
        "path",
        "json",
        "public",
        "pem",
        "broken",
        "oct",
        "alg",
        "twice",
        "weak",
    ],
)
def test_what_is_no_private_key_is_refused(given: t.Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        read_private_keys("private_key", given)
    assert "c2VjcmV0" not in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_line_breaks_of_an_environment_variable_may_be_two_characters() -> None:
    pem = EC.as_pem(private=True).decode().replace("\n", "\\n")
    (found,) = read_private_keys("private_key", pem)
    assert found.kid == EC.thumbprint()


@pytest.mark.parametrize("is_first", [True, False])
def test_a_certificate_beside_the_key_names_it(tmp_path: Path, is_first: bool) -> None:
    pem = Path(write_files(tmp_path).client).read_text()
    certificate, key = pem[: (at := pem.index("-----BEGIN PRIVATE"))], pem[at:]
    text = certificate + key if is_first else key + certificate
    (found,) = read_private_keys("private_key", text)
    header = jws.extract_compact(sign_jwt(found, "ES256", {}, typ="JWT").encode()).headers()
    own = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256())
    assert header == {"alg": "ES256", "typ": "JWT", "x5t#S256": base64url.encode(own)}


def test_a_certificate_of_another_key_is_told(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    own = Path(files.client).read_text()
    text = Path(files.ca).read_text() + own[own.index("-----BEGIN PRIVATE") :]
    with pytest.raises(ConfigurationError, match="not its key's"):
        read_private_keys("private_key", text)
