"""Requests as the provider got them, and answers as it gives them."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from functools import cached_property
from http.client import responses
from urllib.parse import parse_qs, urlsplit

from requests.structures import CaseInsensitiveDict

FORM = "application/x-www-form-urlencoded"


@dataclasses.dataclass
class Request:
    """One request, as it came in."""

    method: str
    #: The request target, as it was sent: with a query, and with a host where a proxy is asked.
    target: str
    headers: CaseInsensitiveDict[str]
    body: bytes
    #: Requests with the same number came over one connection.
    connection: int
    #: When it was complete: Unix seconds.
    time: float
    #: The common name of the client's certificate.
    client_cert: str | None = None
    #: The target without query and host, still percent-encoded.
    path: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        path = self.target.partition("?")[0]
        self.path = path if path.startswith("/") else urlsplit(path).path or path

    @cached_property
    def query_lists(self) -> dict[str, list[str]]:
        """Each parameter of the query with all of its values."""
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        """Each parameter of the query with its first value."""
        return {name: values[0] for name, values in self.query_lists.items()}

    @cached_property
    def form_lists(self) -> dict[str, list[str]]:
        """Each parameter of a form body with all of its values."""
        if not self.headers.get("Content-Type", "").startswith(FORM):
            return {}
        return parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)

    @cached_property
    def form(self) -> dict[str, str]:
        """Each parameter of a form body with its first value."""
        return {name: values[0] for name, values in self.form_lists.items()}

    @cached_property
    def json(self) -> t.Any:
        """The body as JSON; None where it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def access_token(self, scheme: str = "Bearer") -> str | None:
        """The access token that came along: in the header, else in the query."""
        given, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if given.lower() == scheme.lower() else self.query.get("access_token")


@dataclasses.dataclass
class Answer:
    """One answer.

    :param body: bytes as they are, a string as HTML, anything else as JSON; None for no body.
    :param content_type: the Content-Type, where it should be another than the body's own.
    :param headers: sent as well, and in place of the provider's own.
    """

    status: int = 200
    body: t.Any = None
    content_type: str | None = None
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def payload(self) -> bytes:
        """The body in bytes."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()

    def head(self, length: int, **extra: str) -> bytes:
        """The status line and the headers, up to the empty line.

        :param length: of the body, in bytes.
        :param extra: headers, with ``_`` for ``-``, that replace all others.
        """
        headers = {"Content-Length": str(length)}
        if content_type := self.content_type or self._default_type():
            headers["Content-Type"] = content_type
        headers |= self.headers
        headers |= {name.replace("_", "-"): value for name, value in extra.items()}
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _default_type(self) -> str | None:
        if self.body is None:
            return None
        if isinstance(self.body, bytes):
            return "application/octet-stream"
        return "text/html; charset=utf-8" if isinstance(self.body, str) else "application/json"


def REDIRECT(to: str, status: int = 302) -> Answer:  # noqa: N802  # stands beside HANG and others
    """An answer that sends the client elsewhere."""
    return Answer(status, headers={"Location": to})
