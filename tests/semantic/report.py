"""Precision and recall on the labelled pairs: `make semantic-report`. Needs the extra `semantic`."""

from collections.abc import Sequence
from dataclasses import dataclass

from addons.semantic import THRESHOLD
from proxy.semantic.embedder import load_model
from proxy.semantic.index import cosine, to_vector
from tests.semantic.labelled import Pair, guards_let_pass, pairs

THRESHOLDS = (0.0, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Judged:
    """A pair, and what the guards and the model say of it."""

    pair: Pair
    passes: bool
    similarity: float

    def hits(self, threshold: float) -> bool:
        """Would one of the two have been answered with the other's answer?"""
        return self.passes and self.similarity >= threshold


def judged() -> list[Judged]:
    """All pairs."""
    encode = load_model()
    return [
        Judged(pair, guards_let_pass(pair.a, pair.b), cosine(to_vector(encode(pair.a)), to_vector(encode(pair.b))))
        for pair in pairs()
    ]


def figures(hits: int, false: int, same: int) -> str:
    """Right hits, wrong hits, and how many there might be."""
    precision = f"{hits / (hits + false):6.1%}" if hits + false else "     –"
    return f"{precision}  {hits / same if same else 0:6.1%}  {false:6}"


def line(name: str, found: Sequence[Judged], hit: Sequence[bool]) -> str:
    """One row: name, precision, recall, wrong hits."""
    right = sum(is_hit and one.pair.same for one, is_hit in zip(found, hit, strict=True))
    wrong = sum(is_hit and not one.pair.same for one, is_hit in zip(found, hit, strict=True))
    return f"{name:24}{figures(right, wrong, sum(one.pair.same for one in found))}"


def main() -> None:
    """Print it all."""
    everything = judged()
    for name, half in (("tuning half", False), ("held-out half", True)):
        found = [one for one in everything if one.pair.is_held_out is half]
        same = sum(one.pair.same for one in found)
        print(f"{name}: {len(found)} pairs, {same} the same, {len(found) - same} different")
        print(f"{'threshold':24}{'precis.':>6}  {'recall':>6}  {'wrong':>6}")
        for threshold in THRESHOLDS:
            print(line(f"guards and model {threshold:.2f}", found, [one.hits(threshold) for one in found]))
        for threshold in THRESHOLDS[4:]:
            print(line(f"model alone {threshold:.2f}", found, [one.similarity >= threshold for one in found]))
        print()
    print(f"by kind, both halves, threshold {THRESHOLD}")
    for kind in sorted({one.pair.kind for one in everything}):
        found = [one for one in everything if one.pair.kind == kind]
        print(f"{kind:18}{sum(one.pair.same for one in found):4} the same, hit: "
              f"{sum(one.hits(THRESHOLD) and one.pair.same for one in found):4}; "
              f"{sum(not one.pair.same for one in found):4} different, hit: "
              f"{sum(one.hits(THRESHOLD) and not one.pair.same for one in found):4}")  # fmt: skip


if __name__ == "__main__":
    main()
