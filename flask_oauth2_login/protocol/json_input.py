"""JSON and text from other servers, limited to what the rest of the code can handle."""

from __future__ import annotations

import json
import typing as t

from .base64url import decode

#: The most objects and lists inside one another: recursive code fails on more.
MAX_DEPTH = 50

#: The most names of members that an error lists.
MOST_NAMES = 20

# The most digits of an integer that a float can hold. Python refuses to read integers of some
# thousand digits, and to compare the integers in between with floats.
_MAX_DIGITS = 300


def parse_json(data: bytes) -> t.Any:
    """Return the value of a JSON text, or None if it is not JSON or nested too deeply.

    Integers that are too large for a float become infinite. Half a surrogate pair becomes U+FFFD,
    because it can't be encoded (RFC 8259, section 8.2). Providers that cut names send such halves.
    """
    try:
        value = _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
        if b"\\u" in data:
            text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
            value = json.loads(text.decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        return None
    # Each object and each list begins with a bracket.
    may_be_deeper = data.count(b"{") + data.count(b"[") > MAX_DEPTH
    return None if may_be_deeper and _is_deeper(value, MAX_DEPTH) else value


def is_intact(text: str) -> bool:
    """Return False if decoding inserted U+FFFD. Identifiers of accounts must be intact."""
    return "\N{REPLACEMENT CHARACTER}" not in text


def read_algorithm(token: str | None) -> str | None:
    """Return the ``alg`` in the header of a JWT, unchecked; None if it has none."""
    try:
        header = parse_json(decode((token or "").partition(".")[0]))
    except ValueError:
        return None
    alg = header.get("alg") if isinstance(header, dict) else None
    return alg if isinstance(alg, str) else None


def to_one_line(text: str) -> str:
    """Return a text for a log: characters that begin a line or move a cursor become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def _is_deeper(value: t.Any, depth: int) -> bool:
    """Return True if more than ``depth`` objects and lists are inside one another."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _parse_int(digits: str) -> float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_parse_int)


def names_of(members: t.Iterable[str]) -> str:
    """Return the names of an object's members for an error, without their values."""
    names = [to_one_line(name)[:40] for name in members]
    more = ", …" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "no members") + more
