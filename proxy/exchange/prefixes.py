"""Which beginning of a prompt a provider could have had in its cache, and what broke it off.

Rules: a prompt is held against the latest few of the same caller, provider, model and operation. Its equal beginning is
what the provider may serve from its cache. Where it ends early though what follows is equal again (a time of day in the
system prompt, a list in another order, a dropped turn), that is a break, and what is equal behind it was lost by it; a
prompt that is simply another one has no break. Everything is bounded, and only numbers are kept (see prompt.py).
"""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.exchange.prompt import Part, Pieces, pieces_of

WINDOW_S: Final = 300.0  # all providers keep a prefix so long, if they keep it at all
LONG_WINDOW_S: Final = 3_600.0  # some keep it so long, some only when they are asked to
MOST_GROUPS: Final = 32
MOST_PROMPTS: Final = 6  # of one group: so many kinds of prompts may take turns
MOST_PIECES: Final = 2_048  # of one prompt: some 150 KB of long texts; 20 KB of numbers
_ENOUGH: Final = 0.75  # of a prompt: with so much found equal behind a break, nobody looks for more

type Group = tuple[str, ...]


@dataclass(slots=True)
class Prompt:
    """One prompt as numbers, and when it was last sent."""

    kinds: list[str]
    digests: array[int]
    sizes: array[int]
    pieces: dict[int, Pieces] = field(repr=False)  # of long texts, by the text's digest
    texts: dict[int, str] = field(repr=False)  # of this call's long texts; none once it is kept
    lasts_s: float
    at: float = 0.0

    @property
    def size(self) -> int:
        """Characters."""
        return sum(self.sizes)


@dataclass(slots=True)
class Finding:
    """What a comparison came to, in characters of the prompt."""

    size: int
    shared: int = 0  # equal to the beginning of a prompt that was sent within the time providers keep one
    expired: int = 0  # the same, of prompts that were sent before that
    whole: int = 0  # `shared`, if the break had not been there
    kind: str = ""  # of the part that breaks it off; empty without a break
    at: int = 0  # where in this part, about
    of: int = 0  # the part's size
    is_unmarked: bool = False  # its provider caches only what is marked, and nothing is


def prompt_of(parts: Sequence[Part], *, lasts_s: float = WINDOW_S) -> Prompt:
    """To be compared, then kept. `lasts_s`: how long the provider keeps it at least."""
    digests = array("q", [part.digest for part in parts])
    return Prompt(
        kinds=[part.kind for part in parts],
        digests=digests,
        sizes=array("q", [part.size for part in parts]),
        pieces={},
        texts={part.digest: part.text for part in parts if part.text},
        lasts_s=lasts_s,
    )


class PrefixMemory:
    """The latest prompts of each group; the group that was unused for longest goes first."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Group, list[Prompt]] = OrderedDict()

    def find(self, group: Group, prompt: Prompt, now: float) -> Finding:
        """How `prompt` begins, compared to the group's. Takes its texts from it."""
        earlier = [each for each in reversed(self._groups.get(group, ())) if now - each.at <= LONG_WINDOW_S]
        _cut(prompt, earlier)
        finding = Finding(prompt.size)
        for each in earlier:
            _compare(finding, prompt, each, is_there=now - each.at <= max(each.lasts_s, prompt.lasts_s))
        finding.whole = max(finding.whole, finding.shared)
        if finding.whole == finding.shared:
            finding.kind = ""
        return finding

    def keep(self, group: Group, prompt: Prompt, now: float) -> None:
        """Its provider has it now. What it goes on from needs no place of its own."""
        prompt.at = now
        kept = [
            each
            for each in self._groups.get(group, ())
            if now - each.at <= LONG_WINDOW_S and each.digests != prompt.digests[: len(each.digests)]
        ]
        self._groups[group] = [*kept[-(MOST_PROMPTS - 1) :], prompt]
        self._groups.move_to_end(group)
        if len(self._groups) > MOST_GROUPS:
            self._groups.popitem(last=False)


def _cut(prompt: Prompt, earlier: Sequence[Prompt]) -> None:
    """Its long texts in pieces; those of a text that was there before are known."""
    left = MOST_PIECES
    for digest, text in prompt.texts.items():
        known = next((each.pieces[digest] for each in earlier if digest in each.pieces), None)
        pieces = known or pieces_of(text, left)
        left -= len(pieces.digests)
        if left < 0:
            break
        prompt.pieces[digest] = pieces
    prompt.texts = {}


def _compare(finding: Finding, prompt: Prompt, earlier: Prompt, *, is_there: bool) -> None:
    index = _equal(prompt.digests, earlier.digests)
    at = _shared_within(prompt, earlier, index)
    shared = sum(prompt.sizes[:index]) + at
    if not is_there:
        finding.expired = max(finding.expired, shared)
        return
    finding.shared = max(finding.shared, shared)
    if index in (len(prompt.digests), len(earlier.digests)) or finding.whole > _ENOUGH * finding.size:
        return  # it ends here, or goes on from that one
    whole = shared + _equal_behind(prompt, earlier, index, at)
    if whole > max(finding.whole, shared):
        finding.whole, finding.kind = whole, prompt.kinds[index]
        finding.at, finding.of = at, prompt.sizes[index]


def _equal(one: array[int], other: array[int]) -> int:
    """How many items at the beginning are equal."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(index for index in range(length) if one[index] != other[index])


def _in_pieces(prompt: Prompt, earlier: Prompt, index: int) -> tuple[Pieces, Pieces] | None:
    """Two long texts that stand in the same place; None unless both are."""
    if index >= min(len(prompt.digests), len(earlier.digests)):
        return None
    ours, theirs = prompt.pieces.get(prompt.digests[index]), earlier.pieces.get(earlier.digests[index])
    return None if ours is None or theirs is None else (ours, theirs)


def _shared_within(prompt: Prompt, earlier: Prompt, index: int) -> int:
    """How many characters of the first unequal part are equal at its beginning, in whole pieces."""
    if (pair := _in_pieces(prompt, earlier, index)) is None:
        return 0
    ours, theirs = pair
    return sum(ours.lengths[: _equal(ours.digests, theirs.digests)])


def _equal_behind(prompt: Prompt, earlier: Prompt, index: int, at: int) -> int:
    """Characters that are equal again behind a break, up to the next one. 0 when more of the broken part is new than
    is equal behind it: then this is another prompt."""
    equal, new = 0, prompt.sizes[index] - at
    parts = set(earlier.digests)
    if prompt.digests[index] in parts:  # an earlier part was dropped, or the order is another one
        equal, new = new, 0
    elif (pair := _in_pieces(prompt, earlier, index)) is not None:
        ours, theirs = pair
        pieces = set(theirs.digests)
        both = sum(length for each, length in zip(ours.digests, ours.lengths, strict=True) if each in pieces)
        equal = both - at
        new -= equal
    for position in range(index + 1, len(prompt.digests)):
        if prompt.digests[position] not in parts:
            break
        equal += prompt.sizes[position]
    return equal if equal >= new else 0
