"""Cuts a client's HTTP/2 bytes into frames (RFC 9113, section 4.1), without reading what is in them.

Rules: a frame is handed out when it is complete and its bytes are never changed. Frames are fed to h2 one by one, so
that an error in one does not lose the events of those before it, and an overlong one is refused by its announced
length, before its payload has been kept.
"""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"

HEADER_BYTES = 9
DEFAULT_MAX_FRAME_BYTES = 16_384
ANY_FRAME_BYTES = 2**24 - 1

_DATA = 0x0
_HEADERS = 0x1
_SETTINGS = 0x4
_GOAWAY = 0x7
_CONTINUATION = 0x9
_ACK = 0x1


def is_settings_ack(frame: bytes) -> bool:
    """The client took our settings over."""
    return frame[3] == _SETTINGS and bool(frame[4] & _ACK)


def is_goaway(frame: bytes) -> bool:
    """The client is about to leave."""
    return frame[3] == _GOAWAY


def carries_request(frame: bytes) -> bool:
    """True for frames that bring a piece of a request; all others only keep us busy."""
    return frame[3] in (_HEADERS, _CONTINUATION) or (frame[3] == _DATA and len(frame) > HEADER_BYTES)


class FrameCutter:
    """Feed it a connection's bytes from the start. The preface comes out as the first item, if it is one.

    After `error` is set (a bad preface, or a frame that announces more than `max_frame_bytes`) nothing more comes out.
    """

    __slots__ = ("_at_preface", "_max_frame_bytes", "_pending", "error")

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._pending = bytearray()
        self._at_preface = True
        self.error = ""

    @property
    def pending(self) -> bytes:
        """What has come of the frame that is not complete."""
        return bytes(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """The items that are complete now."""
        if self.error:
            return []
        self._pending += data
        pending = bytes(self._pending)
        items: list[bytes] = []
        position = 0
        if self._at_preface:
            if not pending.startswith(PREFACE):
                if not PREFACE.startswith(pending):
                    self.error = "malformed connection preface"
                return []
            self._at_preface = False
            items.append(PREFACE)
            position = len(PREFACE)
        while len(pending) - position >= HEADER_BYTES:
            length = int.from_bytes(pending[position : position + 3])
            if length > self._max_frame_bytes:
                self.error = "frame too large"
                break
            end = position + HEADER_BYTES + length
            if end > len(pending):
                break
            items.append(pending[position:end])
            position = end
        del self._pending[:position]
        return items


class AckRemover:
    """Takes the first SETTINGS acknowledgement out of a client's bytes and passes all others on.

    For a connection that is handed over to its origin: the client acknowledged our settings, which the origin never
    sent.
    """

    __slots__ = ("_cutter", "_is_removed")

    def __init__(self) -> None:
        self._cutter = FrameCutter(ANY_FRAME_BYTES)
        self._is_removed = False

    def feed(self, data: bytes) -> bytes:
        """What to pass on. Until the acknowledgement has come, only whole frames are passed."""
        if self._is_removed:
            return data
        passed: list[bytes] = []
        for item in self._cutter.feed(data):
            if not self._is_removed and item is not PREFACE and is_settings_ack(item):
                self._is_removed = True
            else:
                passed.append(item)
        if self._is_removed:
            passed.append(self._cutter.pending)
        return b"".join(passed)
