"""Writes the fields of requests for HTTP/2 (HPACK, RFC 7541). Clients of one origin say nearly the same each time.

Rules: whole blocks are remembered, so that a call like the last one costs one look-up. A field enters the peer's table
when it comes a second time, and nothing is ever evicted from there: an index once given stays true. Credentials never
enter it (section 7.1.3). Strings are not Huffman-coded: that would cost more time than the bytes are worth.
"""

from typing import Final

from hpack.table import HeaderTable

from proxy.exchange.headers import HeaderList
from proxy.wire.grammar import FIELD_VALUE, TOKEN

DEFAULT_TABLE_BYTES: Final = 4096  # RFC 9113, section 6.5.2

_STATIC_PAIRS: Final = {pair: index for index, pair in enumerate(HeaderTable.STATIC_TABLE, 1) if pair[1]}
_STATIC_NAMES: Final = {name: 62 - index for index, (name, _) in enumerate(reversed(HeaderTable.STATIC_TABLE), 1)}
_FIRST_DYNAMIC: Final = 62
_ENTRY_OVERHEAD: Final = 32  # section 4.1
_SECRET: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"api-key", b"x-api-key", b"x-goog-api-key"}
)
_MAX_BLOCKS: Final = 64
_MAX_BLOCK_BYTES: Final = 8192  # longer ones are not remembered
_MAX_SEEN: Final = 256
_CONTENT_LENGTH: Final = b"\x0f\x0d"  # literal without indexing; the name is number 28 of the static table


class UnsendableError(ValueError):
    """A field that HTTP/2 cannot carry."""


class HpackEncoder:
    """One connection's encoder. Blocks must be sent in the order in which they were made."""

    __slots__ = ("_blocks", "_indexed", "_is_settled", "_limit", "_prefix", "_seen", "_used")

    def __init__(self) -> None:
        self._limit = DEFAULT_TABLE_BYTES
        self._used = 0
        self._indexed: dict[tuple[bytes, bytes], int] = {}  # in the order of insertion, counted from 0
        self._seen: set[tuple[bytes, bytes]] = set()
        self._blocks: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}
        self._prefix = b""
        self._is_settled = True  # the block that was made last would be the same the next time

    def limit_table(self, limit_bytes: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE. A smaller table than the default is left empty: few set one."""
        if limit_bytes < self._limit:
            self._limit = self._used = 0
            self._indexed.clear()
            self._blocks.clear()
            self._prefix = b"\x20"  # section 6.3: the table's size is 0 from here on

    def encode(self, fields: HeaderList) -> bytes:
        """The block of these fields, pseudo fields first. Raises UnsendableError and has then changed nothing."""
        key = tuple(fields)
        block = self._blocks.get(key)
        return block if block is not None else self._encode(key)

    def _encode(self, fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
        for name, value in fields:
            _check(name, value)
        self._is_settled = not self._prefix
        block = self._prefix + b"".join([self._field(field) for field in fields])
        self._prefix = b""
        if self._is_settled and len(block) <= _MAX_BLOCK_BYTES:
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[fields] = block
        return block

    def _field(self, field: tuple[bytes, bytes]) -> bytes:
        if (index := _STATIC_PAIRS.get(field)) is not None:
            return integer(index, 7, 0x80)
        if (position := self._indexed.get(field)) is not None:
            return integer(_FIRST_DYNAMIC + len(self._indexed) - 1 - position, 7, 0x80)
        name, value = field
        index = _STATIC_NAMES.get(name, 0)
        said = (b"" if index else _string(name)) + _string(value)
        if name in _SECRET:
            return integer(index, 4, 0x10) + said
        if self._enters(field):
            self._used += len(name) + len(value) + _ENTRY_OVERHEAD
            self._indexed[field] = len(self._indexed)
            self._is_settled = False
            self._blocks.clear()  # all indexes have moved
            return integer(index, 6, 0x40) + said
        return integer(index, 4, 0x00) + said

    def _enters(self, field: tuple[bytes, bytes]) -> bool:
        """Has it come before, and is there room for it?"""
        if self._used + len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD > self._limit:
            return False
        if field in self._seen:
            self._seen.discard(field)
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(field)
        self._is_settled = False
        return False


def content_length(length: int) -> bytes:
    """The one field that differs from call to call. Its place is at the end of a block."""
    digits = b"%d" % length
    return _CONTENT_LENGTH + bytes((len(digits),)) + digits


def integer(value: int, bits: int, mark: int) -> bytes:
    """A number with a prefix of so many bits, behind the mark in the first byte (section 5.1)."""
    largest = (1 << bits) - 1
    if value < largest:
        return bytes((mark | value,))
    encoded = bytearray((mark | largest,))
    value -= largest
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(value: bytes) -> bytes:
    return integer(len(value), 7, 0x00) + value


def _check(name: bytes, value: bytes) -> None:
    plain = name[1:] if name.startswith(b":") else name
    if not TOKEN.fullmatch(plain) or plain != plain.lower() or not FIELD_VALUE.fullmatch(value):
        raise UnsendableError
