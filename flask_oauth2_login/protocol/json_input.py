"""JSON that somebody else wrote, made into what the rest of the code can work with."""

from __future__ import annotations

import json
import typing as t

#: Objects and lists inside of one another; more than that, and code that follows them fails.
MAX_DEPTH = 50

# What a float can hold. Python refuses to read integers of some thousand digits, and to compare
# those in between with numbers that it can.
_MAX_DIGITS = 300


def parse_json(data: bytes) -> t.Any:
    """The value that a JSON text stands for, or None where it is no such text.

    One that is nested beyond all measure stands for nothing, too. A number beyond all measure is
    infinite. Half a surrogate pair, which a provider leaves that cuts names too short, is U+FFFD,
    for no encoding has it (RFC 8259, section 8.2).
    """
    try:
        value = json.loads(data, parse_int=_parse_int)
        if b"\\u" in data:
            text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
            value = json.loads(text.decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        return None
    return None if _is_deeper(value, MAX_DEPTH) else value


def is_intact(text: str) -> bool:
    """Whether no character was lost on the way. What names an account must be whole."""
    return "\N{REPLACEMENT CHARACTER}" not in text


def to_one_line(text: str) -> str:
    """A text for a log: nothing in it begins a line or moves a cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _is_deeper(value: t.Any, depth: int) -> bool:
    """Whether there are more than so many objects and lists inside of one another."""
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
