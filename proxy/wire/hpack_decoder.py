"""Reads the fields of answers on HTTP/2 (HPACK, RFC 7541), at a quarter to two thirds of what the hpack package takes,
by how much of them is in Huffman's code. Its tables are used.

Rules: strict, and bounded by the size that a list of fields may have. Names and values come out as bytes, unread. Text
in Huffman's code is turned into a string of bits, which one regular expression cuts into codes.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from proxy.exchange.headers import HeaderList

_TABLE_BYTES: Final = 4096  # what we announce: the default
_ENTRY_OVERHEAD: Final = 32  # section 4.1
_STATIC: Final = HeaderTable.STATIC_TABLE
_FIRST_DYNAMIC: Final = len(_STATIC) + 1
_MAX_INTEGER_BYTES: Final = 5


class HpackError(ValueError):
    """A block that cannot be read. The connection's state is lost with it."""


class HpackDecoder:
    """One connection's decoder: blocks must come in the order in which they were sent."""

    __slots__ = ("_entries", "_limit", "_max_list_bytes", "_used")

    def __init__(self, max_list_bytes: int) -> None:
        self._max_list_bytes = max_list_bytes
        self._entries: list[tuple[bytes, bytes]] = []  # the newest last
        self._used = 0
        self._limit = _TABLE_BYTES

    def decode(self, block: bytes) -> HeaderList:
        """The fields of one block. Raises HpackError."""
        fields: HeaderList = []
        at, end, size = 0, len(block), 0
        try:
            while at < end:
                first = block[at]
                if first >= 0x80:
                    if first == 0xFF:
                        index, at = _integer(block, at, 0x7F)
                    else:
                        index, at = first & 0x7F, at + 1
                    field = self._at(index)
                elif first & 0x60 == 0x20:
                    limit, at = _integer(block, at, 0x1F)
                    self._resize(limit)
                    continue
                else:
                    field, at = self._literal(block, at, first)
                size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
                if size > self._max_list_bytes:
                    raise HpackError
                fields.append(field)
        except IndexError:
            raise HpackError from None
        return fields

    def _literal(self, block: bytes, at: int, first: int) -> tuple[tuple[bytes, bytes], int]:
        is_indexed = first >= 0x40
        mask = 0x3F if is_indexed else 0x0F
        index = first & mask
        if index == mask:
            index, at = _integer(block, at, mask)
        else:
            at += 1
        if index:
            name = self._at(index)[0]
        else:
            name, at = _string(block, at)
        length = block[at]
        if length < 0x7F:  # short and not in Huffman's code, as most are: not worth a call
            at += 1 + length
            value = block[at - length : at]
            if at > len(block):
                raise HpackError
        else:
            value, at = _string(block, at)
        field = (name, value)
        if is_indexed:
            self._entries.append(field)
            self._used += len(name) + len(value) + _ENTRY_OVERHEAD
            if self._used > self._limit:
                self._evict()
        return field, at

    def _at(self, index: int) -> tuple[bytes, bytes]:
        if index >= _FIRST_DYNAMIC:
            return self._entries[_FIRST_DYNAMIC - 1 - index]
        if not index:
            raise HpackError
        return _STATIC[index - 1]

    def _resize(self, limit: int) -> None:
        if limit > _TABLE_BYTES:
            raise HpackError
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._used > self._limit:
            name, value = self._entries.pop(0)
            self._used -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """A number with a prefix (section 5.1), and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for position in range(_MAX_INTEGER_BYTES):
        byte = block[at + position]
        value += (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at + position + 1
    raise HpackError


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    first = block[at]
    length = first & 0x7F
    if length == 0x7F:
        length, at = _integer(block, at, 0x7F)
    else:
        at += 1
    end = at + length
    text = block[at:end]
    if len(text) != length:
        raise HpackError
    return (_unpacked(text) if first >= 0x80 else text), end


def _unpacked(text: bytes) -> bytes:
    """Text in Huffman's code (section 5.2). What fills up the last byte must be ones, and less than a byte."""
    bits = bin(int.from_bytes(b"\x01" + text))[3:]
    cut, symbols = _huffman()
    codes = cut(bits)
    whole = "".join(codes)
    rest = bits[len(whole) :]
    if not bits.startswith(whole) or len(rest) > 7 or "0" in rest:
        raise HpackError
    return b"".join([symbols[code] for code in codes])


@cache
def _huffman() -> tuple[Callable[[str], list[str]], dict[str, bytes]]:
    """What cuts bits into codes, and what each code stands for. Made when it is first needed."""
    symbols: dict[str, bytes] = {}
    for symbol in range(256):  # the one after them ends a string, and no string may hold it
        bits, length = REQUEST_CODES[symbol], REQUEST_CODES_LENGTH[symbol]
        symbols[f"{bits:0{length}b}"] = bytes((symbol,))
    return re.compile(_pattern("", list(symbols))[0]).findall, symbols


def _pattern(prefix: str, codes: list[str]) -> tuple[str, int]:
    """What matches these codes behind the prefix that they share, and how many bits that are; -1 when they differ in
    length. Codes of one length are told by what they begin with, and not looked at any further."""
    if codes == [prefix]:
        return "", 0
    at = len(prefix)
    sides = [(bit, [code for code in codes if code[at] == bit]) for bit in "01"]
    below = [(bit, _pattern(prefix + bit, side)) for bit, side in sides if side]
    lengths = {length for _, (_, length) in below}
    if len(below) == 2 and len(lengths) == 1 and -1 not in lengths:
        length = lengths.pop() + 1
        return "." * length, length
    return f"(?:{'|'.join(bit + pattern for bit, (pattern, _) in below)})", -1
