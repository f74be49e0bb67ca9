"""A history gives back what was put in, whatever is packed and dropped meanwhile, and holds less than that."""

import random
import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.history import PACK_BYTES, History
from proxy.stores.base import pack

EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" %06d"},"finish_reason":null}]}\n\n'


@dataclass(slots=True)
class Reader:
    """As a flight's reader goes through a history."""

    number: int = 0
    got: bytes = b""

    def step(self, history: History) -> bool:
        index = self.number - history.first
        if index >= len(history.live):
            return False
        if index < 0:
            piece, self.number = history.past(self.number, len(self.got))
        else:
            piece, self.number = history.live[index], self.number + 1
        self.got += piece
        return True


def read_all(history: History) -> bytes:
    reader = Reader()
    while reader.step(history):
        pass
    return reader.got


@pytest.mark.parametrize("content", [b"", bytes(range(256)), b"\x28\xb5\x2f\xfd"])
def test_what_was_packed_comes_out_as_it_went_in(content: bytes) -> None:
    history = History()
    chunks = [content + b"%d" % number for number in range(50)]
    for chunk in chunks:
        history.append(chunk)
    history.pack(30)
    history.pack(20)  # nothing is left to pack there
    assert read_all(history) == history.joined() == b"".join(chunks)
    history.pack()
    assert read_all(history) == history.joined() == b"".join(chunks)
    assert history.held == len(b"".join(chunks))


def test_what_does_not_shrink_is_kept_plain() -> None:
    history = History()
    noise = random.Random(1).randbytes(PACK_BYTES)
    assert history.append(noise)
    history.pack()
    assert not history.append(b"")
    assert read_all(history) == noise


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("pack"), st.integers(0, 60)),
        st.tuples(st.just("drop"), st.just(0)),
    ),
    max_size=80,
)


@given(steps)
def test_readers_get_everything_in_order(steps: list[tuple[str, int]]) -> None:
    history, readers, whole, is_dropped = History(), [Reader()], b"", False
    for step, number in steps:
        reader = readers[number % len(readers)]
        if step == "append":
            chunk = bytes([len(whole) % 251]) * number
            history.append(chunk)
            whole += chunk
        elif step == "read":
            reader.step(history)
        elif step == "join" and not is_dropped:
            readers.append(Reader())
        elif step == "pack":
            history.pack(number)
        elif step == "drop":
            history.drop(min(each.number for each in readers))
            is_dropped = True
        assert all(whole.startswith(each.got) for each in readers)
        assert history.held <= len(whole)
    for reader in readers:
        while reader.step(history):
            pass
        assert reader.got == whole


def traced(count: int, packed: bool) -> int:
    """Bytes that so many histories of a hundred kilobytes take."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = []
        for _ in range(count):
            history = History()
            for number in range(1_000):
                if history.append(EVENT % number) and packed:
                    history.pack()
            kept.append(history)
        after, _ = tracemalloc.get_traced_memory()
        assert len(kept) == count
        return after - before
    finally:
        tracemalloc.stop()


def test_a_packed_history_takes_a_fraction() -> None:
    assert traced(5, packed=True) < traced(5, packed=False) / 5


def test_a_packed_answer_takes_its_own_bytes_only() -> None:
    body = b"".join(EVENT % number for number in range(1_000))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        entries = [pack(body, None) for _ in range(20)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = len(entries[0][0])
    assert entries[0][1]
    assert after - before < 20 * (size + 500)
