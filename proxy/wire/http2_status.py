"""Reads the head of an HTTP/2 answer: its status, if all of its fields are such (RFC 9113, section 8)."""

from typing import Final

from proxy.exchange.headers import HeaderList

# What may stand in a field's name, and in its value, where anything else could end it elsewhere. Taking these out of a
# text and looking whether anything is left is far faster than a regular expression.
_NAME_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_VALUE_BYTES: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def status_of(fields: HeaderList) -> int:
    """The status in these fields, pseudo field first; 0 when they are malformed (RFC 9113, section 8.3.2)."""
    name, status = fields[0] if fields else (b"", b"")
    if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100" or status == b"101":
        return 0
    names = b"".join([name for name, _ in fields[1:]])
    values = b"".join([value for _, value in fields[1:]])
    if names.translate(None, _NAME_BYTES) or values.translate(None, _VALUE_BYTES):
        return 0
    return int(status)
