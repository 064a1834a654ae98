"""Packing: turn a value into bytes to seal, whose length reveals no secret.

If parts are compressed together, the length reveals how similar they are. An attacker who chooses
one part and sees the length can find another part letter by letter (CRIME, BREACH). So each element
of a list is packed separately:

- a text is not compressed: a token (base64url with dots) takes six bits for each letter, any other
  text is UTF-8;
- None takes no bytes;
- anything else is JSON, compressed if it is long enough to become shorter.

A secret must be an element of its own, and a text.
"""

from __future__ import annotations

import json
import string
import typing as t
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

#: The most bytes of a value before packing, so that unpacking can't inflate without bound.
MAX_PLAIN = 2 * 1024 * 1024

#: The most bytes of JSON that is not compressed, because compression hardly shortens it.
MAX_UNCOMPRESSED = 64

_LIST, _DEFLATED, _TEXT, _TOKEN, _JSON = (bytes([kind]) for kind in range(5))
#: The bytes of base64url, and the dot between the parts of a token.
_TOKEN_BYTES = (string.ascii_letters + string.digits + "-_.").encode()
_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
# Deflate without zlib's header and checksum, because the seal already detects changes.
_RAW = -15


def pack(value: t.Any) -> bytes:
    """Pack a value that JSON can represent.

    :raises ValueError: the value is larger than :func:`unpack` accepts.
    """
    if not isinstance(value, list):
        return _pack_one(value)[0]
    packed, size = [_LIST], 0
    for element in value:
        one, plain_size = _pack_one(element)
        packed += _pack_number(len(one)), one
        size += plain_size
    if size > MAX_PLAIN:
        raise ValueError("too large to be packed")
    return b"".join(packed)


def unpack(packed: bytes) -> t.Any:
    """Return the value, or None if it was packed differently, for example by another release."""
    return unpack_sized(packed)[0]


def unpack_sized(packed: bytes) -> tuple[t.Any, int]:
    """Return the value as :func:`unpack` does, and how many bytes it had before it was packed."""
    try:
        parts = list(_split(packed[1:])) if packed[:1] == _LIST else [packed]
        plain = [_unpack_one(part) for part in parts]
        values = [_read(*pair) for pair in zip(parts, plain, strict=True)]
    except (ValueError, IndexError, zlib.error):
        return None, 0
    return values if packed[:1] == _LIST else values[0], sum(map(len, plain))


def _pack_one(element: t.Any) -> tuple[bytes, int]:
    """Return an element packed, and how many bytes it had before.

    :raises ValueError: these are too many.
    """
    if element is None:
        return b"", 0
    is_text = isinstance(element, str)
    plain = (element if is_text else _to_json(element)).encode()
    size = len(plain)
    if size > MAX_PLAIN:
        raise ValueError("too large to be packed")
    if not is_text:
        return (_JSON + plain if size <= MAX_UNCOMPRESSED else _DEFLATED + _deflate(plain)), size
    if plain and not plain.translate(None, _TOKEN_BYTES):
        return _TOKEN + b"".join(map(_pack_run, plain.split(b"."))), size
    return _TEXT + plain, size


def _deflate(plain: bytes) -> bytes:
    # The window and the tables fit the data. Allocating the largest ones would take much longer.
    bits = max(9, min(15, len(plain).bit_length()))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -bits, bits - 7)
    return deflate.compress(plain) + deflate.flush()


def _unpack_one(packed: bytes) -> bytes:
    """Return the bytes that an element had before packing."""
    kind, packed = packed[:1], packed[1:]
    if kind == _TOKEN:
        return b".".join(_unpack_runs(packed))
    if kind in (b"", _TEXT, _JSON):
        return packed
    if kind != _DEFLATED:
        raise ValueError("packed in another way")
    inflate = zlib.decompressobj(_RAW)
    plain = inflate.decompress(packed, MAX_PLAIN)
    if not inflate.eof:
        raise ValueError("cut, or too large")
    return plain


def _read(packed: bytes, plain: bytes) -> t.Any:
    """Return the element that has these bytes."""
    if not packed:
        return None
    text = plain.decode()
    return text if packed[:1] in (_TOKEN, _TEXT) else json.loads(text)


def _pack_run(run: bytes) -> bytes:
    """Pack letters of base64url: first their number, then six bits for each."""
    bits = urlsafe_b64decode(run + b"A" * (-len(run) % 4))
    return _pack_number(len(run)) + bits[: _packed_size(len(run))]


def _unpack_runs(packed: bytes) -> t.Iterator[bytes]:
    at = 0
    while at < len(packed):
        letters, at = _read_number(packed, at)
        size = _packed_size(letters)
        yield urlsafe_b64encode(packed[at : at + size] + bytes(-size % 3))[:letters]
        at += size


def _packed_size(letters: int) -> int:
    return (letters * 6 + 7) // 8


def _split(packed: bytes) -> t.Iterator[bytes]:
    """Split bytes into parts, each of which follows its length."""
    at = 0
    while at < len(packed):
        size, at = _read_number(packed, at)
        if size > len(packed) - at:
            raise ValueError("cut")
        yield packed[at : at + size]
        at += size


def _pack_number(number: int) -> bytes:
    """Pack a number with seven bits in a byte, lowest bits first. The last byte is below 128."""
    if number < 128:
        return bytes((number,))
    packed = bytearray()
    while number >= 128:
        packed.append(number & 127 | 128)
        number >>= 7
    return bytes([*packed, number])


def _read_number(packed: bytes, at: int) -> tuple[int, int]:
    """Return the number at an index, and the index after it.

    :raises IndexError: the number is cut short.
    """
    number = shift = 0
    while (byte := packed[at]) >= 128:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1
