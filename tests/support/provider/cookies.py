"""A browser's cookies: what it keeps, and what it sends along. RFC 6265bis, as Chromium does it."""

from __future__ import annotations

import dataclasses
import time
import typing as t
from urllib.parse import SplitResult, urlsplit

from werkzeug.http import parse_date

#: Characters of name and value that Chromium keeps at the most.
MAX_SIZE = 4096
#: Hosts that browsers trust without TLS.
LOOPBACK = {"localhost", "127.0.0.1"}

#: Where a request comes from, in the words of Sec-Fetch-Site.
Site = t.Literal["none", "same-origin", "same-site", "cross-site"]


@dataclasses.dataclass(frozen=True)
class Cookie:
    """A cookie that the browser has."""

    name: str
    value: str = dataclasses.field(repr=False)
    #: The host that set it, or what its ``Domain`` says.
    domain: str
    host_only: bool
    path: str
    #: ``"Strict"``, ``"Lax"``, ``"None"``, or ``""`` where it says nothing, which counts as Lax.
    samesite: str
    secure: bool
    httponly: bool
    #: Seconds, as the server said; None where it goes with the browser.
    max_age: float | None
    #: Unix seconds.
    expires_at: float | None
    #: The header that set it.
    header: str = dataclasses.field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the header that set it: name, value and attributes."""
        return len(self.header.encode())

    def _fits(self, url: SplitResult) -> bool:
        host, path = url.hostname or "", url.path or "/"
        if host != self.domain and (self.host_only or not host.endswith(f".{self.domain}")):
            return False
        if self.secure and not is_trustworthy(url):
            return False
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return path == self.path or path.startswith(below)

    def _may_travel(self, site: Site, *, safe: bool, top_level: bool) -> bool:
        if site != "cross-site" or self.samesite == "None":
            return True
        return self.samesite != "Strict" and safe and top_level


class CookieJar:
    """One browser's cookies, oldest first."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}
        #: Names and reasons of those that the browser would not take.
        self.refused: list[tuple[str, str]] = []

    def __iter__(self) -> t.Iterator[Cookie]:
        now = time.time()
        for key, cookie in list(self._cookies.items()):
            if cookie.expires_at is not None and cookie.expires_at <= now:
                del self._cookies[key]
            else:
                yield cookie

    def header(self, url: str, site: Site, *, safe: bool, top_level: bool) -> str:
        """The Cookie header of a request; empty where no cookie goes along.

        :param safe: whether it is a GET or HEAD.
        :param top_level: whether a window navigates by it.
        """
        parts = urlsplit(url)
        sent = [
            cookie
            for cookie in self
            if cookie._fits(parts) and cookie._may_travel(site, safe=safe, top_level=top_level)
        ]
        # Longer paths first; of the same length, in the order of their making.
        sent.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)

    def take(self, url: str, headers: t.Iterable[str], site: Site, *, top_level: bool) -> None:
        """Keep, replace or delete cookies as Set-Cookie headers say."""
        for header in headers:
            cookie = _parse(header, urlsplit(url))
            if reason := _find_fault(cookie, urlsplit(url), site, top_level=top_level):
                self.refused.append((cookie.name, reason))
                continue
            key = (cookie.domain, cookie.path, cookie.name)
            if cookie.expires_at is not None and cookie.expires_at <= time.time():
                self._cookies.pop(key, None)
            else:
                self._cookies[key] = cookie

    def put(self, cookie: Cookie) -> None:
        """Put a cookie in, whatever set it: what a thief or a forger does."""
        self._cookies[cookie.domain, cookie.path, cookie.name] = cookie

    def copy(self) -> CookieJar:
        """A jar of its own with the same cookies."""
        jar = CookieJar()
        jar._cookies = dict(self._cookies)
        return jar

    def clear(self) -> None:
        self._cookies.clear()


def is_trustworthy(url: SplitResult) -> bool:
    """Whether browsers count a URL as secure."""
    host = url.hostname or ""
    return url.scheme == "https" or host in LOOPBACK or host.endswith(".localhost")


def _parse(header: str, url: SplitResult) -> Cookie:
    pair, *rest = header.split(";")
    name, _, value = pair.strip().partition("=")
    attributes: dict[str, str] = {}
    for attribute in rest:
        key, _, setting = attribute.strip().partition("=")
        attributes[key.lower()] = setting.strip()
    domain = attributes.get("domain", "").lstrip(".").lower()
    path = attributes.get("path", "")
    max_age = _max_age(attributes)
    return Cookie(
        name=name.strip(),
        value=value.strip(),
        domain=domain or (url.hostname or ""),
        host_only=not domain,
        path=path if path.startswith("/") else (url.path.rpartition("/")[0] or "/"),
        samesite=attributes.get("samesite", "").capitalize(),
        secure="secure" in attributes,
        httponly="httponly" in attributes,
        max_age=max_age,
        expires_at=None if max_age is None else time.time() + max_age,
        header=header,
    )


def _max_age(attributes: t.Mapping[str, str]) -> float | None:
    if "max-age" in attributes:
        return float(attributes["max-age"])
    expires = parse_date(attributes.get("expires"))
    return None if expires is None else expires.timestamp() - time.time()


def _find_fault(cookie: Cookie, url: SplitResult, site: Site, *, top_level: bool) -> str:
    """Why a browser does not take a cookie; empty where it does."""
    host = url.hostname or ""
    if len(cookie.name) + len(cookie.value) > MAX_SIZE:
        return "too large"
    if host != cookie.domain and not host.endswith(f".{cookie.domain}"):
        return "another host's"
    if cookie.secure and not is_trustworthy(url):
        return "Secure without TLS"
    if cookie.samesite == "None" and not cookie.secure:
        return "SameSite=None without Secure"
    if cookie.name.startswith(("__Host-", "__Secure-")) and not cookie.secure:
        return "its prefix wants Secure"
    if cookie.name.startswith("__Host-") and (cookie.path != "/" or not cookie.host_only):
        return "its prefix wants Path=/ and no Domain"
    if site == "cross-site" and not top_level and cookie.samesite != "None":
        return "SameSite, and set across sites outside a window"
    return ""
