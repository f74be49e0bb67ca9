"""Calls for the ledger's tests: plausible by default, with the fields that matter to a test said by it."""

from dataclasses import replace

from proxy.exchange.record import CallRecord, Outcome

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC

_ROW = CallRecord(
    id="",
    started_at=NOON,
    client="10.0.0.1",
    provider="openai",
    operation="chat",
    model="gpt-4o-mini",
    status=200,
    outcome=Outcome.MISS,
    streamed=False,
    input_tokens=100,
    output_tokens=20,
    cost_nanousd=27_000,
    first_byte_ms=80.0,
    total_ms=100.0,
    overhead_ms=0.2,
    credential="abcdef012345",
    labels={"app": "billing"},
)


def call(number: int, **changes: object) -> CallRecord:
    """The call number `number`: its identifier sorts by it."""
    return replace(_ROW, **{"id": f"{number:026d}", **changes})  # type: ignore[arg-type]


def calls(count: int, first: int = 0) -> list[CallRecord]:
    """`count` calls, a tenth of a second apart."""
    return [call(number, started_at=NOON + number / 10) for number in range(first, first + count)]
