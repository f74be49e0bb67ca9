"""Dictionaries for small answers: what many of them have in common is written once.

Most of a small answer is its fields and the frame of its JSON, which all answers of a provider share. A zstd dictionary
trained from stored answers makes them 40 to 80 % smaller, and compressing with it is quicker than without.

Rules: trained in a thread of its own, from a bounded sample that is kept in memory alone; a dictionary is known by the
number that zstd gave it, and never changes. A later one takes over only when it is clearly better for what is stored
now. A dictionary holds fragments that several answers have in common, so stores protect it as they do answers.
"""

import contextlib
import threading
from collections import OrderedDict
from typing import Final

import structlog
import zstandard

from proxy.stores.base import LEVEL, SHORT_BYTES, SHORT_LEVEL

LARGEST_BYTES: Final = 65_536  # of what is compressed with one: beyond it the gain is small
DICTIONARY_BYTES: Final = 32_768
NO_DICTIONARY: Final = 0

_LEVEL: Final = 3
_KNOWN: Final = 8  # kept ready; each takes half a megabyte
_SAMPLES: Final = 400
_SAMPLE_BYTES: Final = 16_384  # of one answer: small ones gain most
_SAMPLES_BYTES: Final = 2 * 1024 * 1024
_FIRST_STEP: Final = 16  # once there is one, every sixteenth answer is a sample for the next
_LAST_STEP: Final = 4096
_JUDGES: Final = 4  # of the samples every fourth is kept back to judge by
_BETTER: Final = 0.9  # what a new one must bring the sample down to, measured by the one before

type _Content = bytes | bytearray | memoryview[int]  # as zstandard takes it

log = structlog.get_logger(__name__)


class Dictionary:
    """One, or none: `NO_DICTIONARY` compresses all the same. Safe from any thread: each has contexts of its own."""

    def __init__(self, content: bytes | None = None, *, level: int = _LEVEL) -> None:
        """Raises ValueError for what is no dictionary."""
        self.content = content
        self._level = level
        self.number = NO_DICTIONARY
        self._prepared: zstandard.ZstdCompressionDict | None = None
        if content is not None:
            try:
                self._prepared = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_FULLDICT)
                self._prepared.precompute_compress(level=level)
            except zstandard.ZstdError as error:
                raise ValueError("no dictionary") from error
            self.number = self._prepared.dict_id()
        self._contexts = threading.local()

    def compress(self, plain: _Content) -> bytes:
        """A frame."""
        packer: zstandard.ZstdCompressor | None = getattr(self._contexts, "packer", None)
        if packer is None:
            packer = self._contexts.packer = zstandard.ZstdCompressor(level=self._level, dict_data=self._prepared)
        return memoryview(packer.compress(plain)).tobytes()  # what it gives keeps more room than it fills

    def decompress(self, frame: bytes) -> bytes | None:
        """What was compressed; None for a broken frame, or one larger than any that is made here."""
        unpacker: zstandard.ZstdDecompressor | None = getattr(self._contexts, "unpacker", None)
        if unpacker is None:
            unpacker = self._contexts.unpacker = zstandard.ZstdDecompressor(dict_data=self._prepared)
        try:
            if not 0 <= zstandard.frame_content_size(frame) <= LARGEST_BYTES:
                return None
            return unpacker.decompress(frame)
        except zstandard.ZstdError:
            return None


class Dictionaries:
    """Those that are known, and which one new answers are compressed with. Safe from any thread."""

    def __init__(self, *, trains: bool = True) -> None:
        self.plain = Dictionary(level=LEVEL)
        self._short = Dictionary(level=SHORT_LEVEL)
        self.current = self.plain
        self._known: OrderedDict[int, Dictionary] = OrderedDict()
        self._trains = trains
        self._lock = threading.Lock()
        self._samples: list[_Content] = []
        self._sampled_bytes = 0
        self._seen = 0
        self._step = 1
        self._generation = 0
        self._is_training = False

    def packed(self, body: bytes) -> bytes:
        """The frame that `proxy.stores.base.pack` made of it."""
        return (self.plain if len(body) > SHORT_BYTES else self._short).compress(body)

    def find(self, number: int) -> Dictionary | None:
        """The dictionary of this number, if it is known."""
        return self.plain if number == NO_DICTIONARY else self._known.get(number)

    def learn(self, content: bytes) -> Dictionary | None:
        """One from a store; it is used for new answers if there was none. None when it is no dictionary."""
        try:
            dictionary = Dictionary(content)
        except ValueError:
            return None
        with self._lock:
            self._keep(dictionary)
            if self.current is self.plain:
                self.current, self._step = dictionary, _FIRST_STEP
        return dictionary

    def sample(self, plain: bytes) -> None:
        """Something that is stored. Takes no time: it is left out when another thread is at it."""
        if not self._trains or len(plain) > _SAMPLE_BYTES:
            return
        self._seen += 1  # threads may miss each other's: it need not be exact
        if self._seen % self._step or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_training:
                return
            self._samples.append(plain)
            self._sampled_bytes += len(plain)
            if len(self._samples) < _SAMPLES and self._sampled_bytes < _SAMPLES_BYTES:
                return
            samples, self._samples, self._sampled_bytes = self._samples, [], 0
            self._is_training = True
            arguments = (samples, self.current, self._generation)
        finally:
            self._lock.release()
        threading.Thread(target=self._train, args=arguments, name="dictionary", daemon=True).start()

    def forget(self) -> None:
        """Nothing of what was sampled or learnt is kept: everything was cleared."""
        with self._lock:
            self.current = self.plain
            self._known.clear()
            self._samples, self._sampled_bytes, self._step = [], 0, 1
            self._generation += 1

    def _train(self, samples: list[_Content], current: Dictionary, generation: int) -> None:
        """Judged by answers that it was not made from: those it would know by heart."""
        judges, taught = samples[::_JUDGES], [each for at, each in enumerate(samples) if at % _JUDGES]
        made: Dictionary | None = None
        before = after = 0
        with contextlib.suppress(zstandard.ZstdError, ValueError):  # too little in common: the next may have more
            made = Dictionary(zstandard.train_dictionary(DICTIONARY_BYTES, taught).as_bytes())
            before = sum(len(current.compress(each)) for each in judges)
            after = sum(len(made.compress(each)) for each in judges)
        with self._lock:
            self._is_training = False
            if generation != self._generation:
                return
            if made is None or after > before * _BETTER:
                self._step = min(max(self._step * 2, _FIRST_STEP), _LAST_STEP)
                return
            self._step = _FIRST_STEP
            self._keep(made)
            self.current = made
        log.info("dictionary_trained", number=made.number, saves=f"{1 - after / before:.0%}")

    def _keep(self, dictionary: Dictionary) -> None:
        self._known[dictionary.number] = dictionary
        while len(self._known) > _KNOWN:
            number = next(each for each in self._known if each != self.current.number)
            del self._known[number]
