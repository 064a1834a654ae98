"""What can be counted: connections that the provider sees, and bytes of cookies."""

from __future__ import annotations

import warnings

from .apps import Contestant
from .field import Field
from .provider import OAUTH, OPENID
from .table import Cell, Row
from .visitor import Visitor

#: The number of logins in which connections are counted.
LOGINS = 100


def connections(field: Field, logins: int = LOGINS) -> list[Row]:
    """Count the connections that logins open, after the first login of the process."""
    return [
        Row(
            f"connections-{protocol.split()[0].lower()}",
            f"new connections in {logins} logins, {protocol}",
            {
                each.name: _count_connections(field, each, protocol, logins)
                for each in field.who_speaks(protocol)
            },
        )
        for protocol in (OAUTH, OPENID)
    ]


def _count_connections(field: Field, contestant: Contestant, protocol: str, logins: int) -> Cell:
    app = field.app(contestant, protocol=protocol)
    Visitor(app).sign_in()
    before = field.provider.count("http connections")
    for _ in range(logins):
        Visitor(app).sign_in()
    opened = field.provider.count("http connections") - before
    return Cell(str(opened), {"connections": opened})


def cookies(field: Field) -> list[Row]:
    """Measure the cookies that a browser holds after a login, and whether a large token fits."""
    return [
        Row(
            f"cookies-{protocol.split()[0].lower()}",
            f"bytes of cookies after a login; a 3 KB token, {protocol}",
            {
                each.name: _measure_cookies(field, each, protocol)
                for each in field.who_speaks(protocol)
            },
        )
        for protocol in (OAUTH, OPENID)
    ]


def _measure_cookies(field: Field, contestant: Contestant, protocol: str) -> Cell:
    visitor = Visitor(field.app(contestant, protocol=protocol))
    visitor.sign_in()
    size = len(visitor.cookie_header)
    other = Visitor(field.app(contestant, plan="large", protocol=protocol))
    with warnings.catch_warnings(action="ignore"):  # Werkzeug's, of a cookie that is too large
        other.sign_in()
    kept = other.get("/guarded").status == 200
    return Cell(f"{size:,}; {'kept' if kept else 'lost'}", {"bytes": size, "kept": kept})
