"""Certificates for a server on loopback and for its clients, by an authority that tests make."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import ipaddress
import ssl
import typing as t
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclasses.dataclass(frozen=True)
class Files:
    """Paths of PEM files."""

    #: What a client trusts: ``verify=``.
    ca: str
    #: The server's certificate and key.
    server: str
    #: A certificate and key that the server trusts: ``cert=``.
    client: str

    def server_context(self) -> ssl.SSLContext:
        """A context that also asks the client for a certificate, but does not need one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def write_files(folder: Path) -> Files:
    """Write the certificates, which all providers of a process share, into a folder."""
    paths = {name: folder / f"{name}.pem" for name in ("ca", "server", "client")}
    for name, pem in _make().items():
        paths[name].write_bytes(pem)
    return Files(**{name: str(path) for name, path in paths.items()})


@functools.cache
def _make() -> dict[str, bytes]:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Tests' authority")
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )

    def issue(name: str, usage: x509.ObjectIdentifier, *hosts: x509.GeneralName) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id)
        builder = (
            _builder(_name(name), ca_name, key)
            .add_extension(authority, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return _pem(builder.sign(ca_key, hashes.SHA256())) + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    server = issue("server", ExtendedKeyUsageOID.SERVER_AUTH, x509.DNSName("localhost"), loopback)
    return {
        "ca": _pem(ca),
        "server": server,
        "client": issue("client", ExtendedKeyUsageOID.CLIENT_AUTH),
    }


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    off: t.Any = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        **off,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
