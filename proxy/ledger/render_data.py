"""Reports for machines: JSON and CSV. Their keys are a promise: new ones may come, none goes or changes its meaning.

JSON: `ledger`, `since`, `until` (ISO 8601, UTC), `by`, `where`, `totals`, `groups` (each with `keys`, by the names in
`by`, and the same figures as `totals`), `bucket_s`, `series`, `waste`, `prompt_caching` (the provider's, by provider
and model, of calls that went upstream), `prefix_losses` (estimates; `broken_by` is a constant word), `projection_30d`
(null when the window is too short; `observed_s` says how long it was). Figures: `calls`, one count an outcome (`hits`,
`collapsed`, `misses`, `bypass`, `refused`, `errors`), `hit_ratio` = (hits + collapsed) / (hits + collapsed + misses),
`hit_share` = (hits + collapsed) / calls, `tokens`, `cost`, `saved`, `potential`, `unpriced_calls`, `estimated_calls`,
`total_ms`, `overhead_ms`, `first_byte_ms` (`p50`, `p95`), `discount` (by the provider's prompt cache; below 0 where
writing to it cost more than reading saved), `lost_discount`. Money is `nanousd` (an exact integer), `usd` (null when
nothing in it has a price) and `unpriced_calls`, which are not in the sum. CSV has a line a group with the same figures,
flat.
"""

import csv
from io import StringIO
from typing import Final

import orjson

from proxy.exchange.record import NANO_PER_USD
from proxy.ledger.advice import advice, cause
from proxy.ledger.figures import Group, Measures, Money, PrefixLoss, PromptCaching, Report, Times

# A spreadsheet takes a cell that begins so for a formula, wherever the text came from.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

type Figures = dict[str, object]


def to_json(report: Report) -> bytes:
    """The whole report as one JSON document, indented, with a final newline."""
    document: Figures = {
        "ledger": report.ledger,
        "since": report.since,
        "until": report.until,
        "by": report.by,
        "where": dict(report.where),
        "totals": _figures(report.totals),
        "groups": [
            {"keys": dict(zip(report.by, group.keys, strict=True)), **_figures(group.measures)}
            for group in report.groups
        ],
        "bucket_s": report.bucket_s,
        "series": [
            {
                "start": bucket.start,
                "calls": bucket.calls,
                "answered_here": bucket.answered_here,
                "cost": _money(bucket.cost),
                "saved": _money(bucket.saved),
            }
            for bucket in report.series
        ],
        "waste": [
            {
                "provider": line.provider,
                "operation": line.operation,
                "model": line.model,
                "repeats": line.repeats,
                "potential": _money(line.potential),
            }
            for line in report.waste
        ],
        "prompt_caching": [_prompt_caching(line) for line in report.prompt_caching],
        "prefix_losses": [_prefix_loss(loss) for loss in report.prefix_losses],
        "projection_30d": _projection(report),
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def to_csv(report: Report) -> str:
    """A header, one line a group (or one of totals when nothing was grouped); lines end as RFC 4180 says."""
    text = StringIO()
    lines = csv.writer(text)
    lines.writerow([*(_safe(name) for name in report.by), *_flat(_figures(Measures()))])
    groups = report.groups if report.by else (Group((), report.totals),)
    for group in groups:
        lines.writerow([*(_safe(key) for key in group.keys), *_flat(_figures(group.measures)).values()])
    return text.getvalue()


def _figures(measures: Measures) -> Figures:
    tokens = measures.tokens
    return {
        "calls": measures.calls,
        "hits": measures.hits,
        "collapsed": measures.collapsed,
        "misses": measures.misses,
        "bypass": measures.bypass,
        "refused": measures.refused,
        "errors": measures.errors,
        "hit_ratio": _rounded(measures.hit_ratio, 6),
        "hit_share": _rounded(measures.hit_share, 6),
        "tokens": {
            "input": tokens.input,
            "output": tokens.output,
            "cache_read": tokens.cache_read,
            "cache_write": tokens.cache_write,
            "reasoning": tokens.reasoning,
            "audio": tokens.audio,
        },
        "cost": _money(measures.cost),
        "saved": _money(measures.saved),
        "potential": _money(measures.potential),
        "unpriced_calls": measures.unpriced_calls,
        "estimated_calls": measures.estimated_calls,
        "total_ms": _times(measures.total),
        "overhead_ms": _times(measures.overhead),
        "first_byte_ms": _times(measures.first_byte),
        "discount": _money(measures.discount),
        "lost_discount": _money(measures.lost_discount),
    }


def _money(amount: Money) -> Figures:
    return {
        "nanousd": amount.nanousd,
        "usd": None if amount.is_unknown else amount.nanousd / NANO_PER_USD,
        "unpriced_calls": amount.unpriced_calls,
    }


def _times(found: Times) -> Figures:
    return {"p50": _rounded(found.p50_ms, 3), "p95": _rounded(found.p95_ms, 3)}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _projection(report: Report) -> Figures | None:
    found = report.projection
    if found is None:
        return None
    return {
        "observed_s": found.observed_s,
        "cost": _money(found.cost),
        "saved": _money(found.saved),
        "potential": _money(found.potential),
    }


def _prompt_caching(line: PromptCaching) -> Figures:
    return {
        "provider": line.provider,
        "model": line.model,
        "calls": line.calls,
        "input_tokens": line.input,
        "cache_read_tokens": line.cache_read,
        "cache_write_tokens": line.cache_write,
        "read_share": _rounded(line.read_share, 6),
        "lost_tokens": line.lost_tokens,
        "saved": _money(line.saved),
        "lost": _money(line.lost),
    }


def _prefix_loss(loss: PrefixLoss) -> Figures:
    return {
        "provider": loss.provider,
        "model": loss.model,
        "app": loss.app,
        "broken_by": loss.broken_by,
        "broken_at": loss.broken_at,
        "broken_of": loss.broken_of,
        "calls": loss.calls,
        "lost_tokens": loss.lost_tokens,
        "lost": _money(loss.lost),
        "cause": cause(loss),
        "advice": advice(loss),
    }


def _flat(figures: Figures) -> Figures:
    flat: Figures = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat.update({f"{name}_{part}": inner for part, inner in value.items()})
        else:
            flat[name] = value
    return flat


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
