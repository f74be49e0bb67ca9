"""A settled call, for what counts and shows them."""

from dataclasses import replace

from proxy.exchange.record import CallRecord, Outcome


def row(**more: object) -> CallRecord:
    """An ordinary paid call. `more` changes it."""
    made = CallRecord(
        id="0" * 26,
        started_at=1_700_000_000.25,
        client="10.0.0.1",
        provider="openai",
        operation="chat",
        model="m",
        status=200,
        outcome=Outcome.MISS,
        streamed=False,
        input_tokens=9,
        output_tokens=2,
        cost_nanousd=11_000,
        first_byte_ms=500.0,
        total_ms=600.0,
        overhead_ms=1.5,
    )
    return replace(made, **more)  # type: ignore[arg-type]
