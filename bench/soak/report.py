"""What a soak found, and how it is written."""

from dataclasses import dataclass

from bench.soak.samples import Stats


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was seen. The lists are empty when all is well."""

    minutes: float
    looks: tuple[tuple[float, Stats], ...]  # minutes of load so far, and what was held then; the first: after warm-up
    acts: dict[str, int]
    asked: dict[str, int]  # calls by kind
    tunnelled_bytes: int
    reloads: int
    grown: tuple[str, ...]
    miscounted: tuple[str, ...]
    slow: int  # calls that were answered by 504
    wrong: int
    wrong_texts: tuple[str, ...]
    logged_errors: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Nothing leaked, nothing was miscounted, nobody got a wrong answer."""
        return not (self.grown or self.miscounted or self.wrong or self.logged_errors)


def show(outcome: Outcome) -> str:
    """For people."""
    acts = ", ".join(f"{name} {count:,}" for name, count in sorted(outcome.acts.items(), key=lambda each: -each[1]))
    lines = [
        f"{outcome.minutes:.1f} minutes of load, {sum(outcome.asked.values()):,} calls, {outcome.reloads} reloads",
        f"answered by 504: {outcome.slow:,}",
        f"through tunnels: {outcome.tunnelled_bytes / 1e6:,.0f} MB",
        f"what was done: {acts}",
        "",
        "minutes   resident, MiB   files   threads   tasks   evicted",
    ]
    lines += [
        f"{minutes:7.1f}   {held.resident_mib:13.1f}   {held.open_files:5d}   {held.threads:7d}   "
        f"{sum(held.tasks.values()):5d}   {held.cache_evicted:7,}"
        for minutes, held in outcome.looks
    ]
    lines += ["", *_problems("grown", outcome.grown), *_problems("ledger", outcome.miscounted)]
    lines += _problems("wrong", outcome.wrong_texts) + _problems("log", outcome.logged_errors)
    if outcome.wrong > len(outcome.wrong_texts):
        lines.append(f"wrong: and {outcome.wrong - len(outcome.wrong_texts):,} more")
    lines.append("passed" if outcome.passed else "NOT PASSED")
    return "\n".join(lines)


def _problems(kind: str, texts: tuple[str, ...]) -> list[str]:
    return [f"{kind}: {text}" for text in texts]
