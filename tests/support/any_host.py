"""Every https host of the Internet on loopback: a proxy that answers in place of all of them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import socketserver
import ssl
import tempfile
import threading
import typing as t
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclasses.dataclass
class Call:
    """A request that came for some host."""

    method: str
    #: Without the query.
    url: str
    query: dict[str, str]
    headers: t.Any
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> t.Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Reply:
    """What is answered: a JSON value, or a text of some kind."""

    body: t.Any
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class AnyHost:
    """A proxy for https that is the server, too.

    .. code-block:: python

        with AnyHost() as hosts:
            hosts.answer = lambda call: Reply({"id": 1})
            OAuth2(…, proxies={"https": hosts.proxy}, verify=hosts.ca_file)
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: t.Callable[[Call], Reply | None] = lambda _: None
        self._folder = tempfile.TemporaryDirectory()
        self.ca_file = str(Path(self._folder.name) / "ca.pem")
        Path(self.ca_file).write_bytes(_authority()[0].public_bytes(serialization.Encoding.PEM))
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self.proxy = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AnyHost:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()


class _Server(socketserver.ThreadingTCPServer):
    block_on_close = True
    allow_reuse_address = True


def _handler_of(hosts: AnyHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_CONNECT(self) -> None:  # the name that http.server looks for
            self.host = self.path.removesuffix(":443")
            self.send_response(200)
            self.end_headers()
            self.connection = _context(self.host).wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)
            self.close_connection = False

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            call = Call(
                self.command,
                f"https://{self.host}{path}",
                dict(parse_qsl(query, keep_blank_values=True)),
                self.headers,
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            hosts.calls.append(call)
            reply = hosts.answer(call) or Reply({"error": f"nothing at {call.url}"}, status=404)
            is_text = isinstance(reply.body, str)
            body = (reply.body if is_text else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            # So that no thread waits for the next request when a test ends.
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        do_POST = do_GET  # noqa: N815

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@functools.cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder("Any host's authority", "Any host's authority", key.public_key())
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = certificate.add_extension(constraints, critical=True)
    certificate = certificate.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = certificate.add_extension(identifier, critical=False)
    return certificate.sign(key, hashes.SHA256()), key


@functools.cache
def _context(host: str) -> ssl.SSLContext:
    """A context with a certificate for a host."""
    authority, key = _authority()
    own = ec.generate_private_key(ec.SECP256R1())
    name = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    certificate = (
        _builder("any host", str(name), own.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )
