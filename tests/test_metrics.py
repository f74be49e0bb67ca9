"""What the metrics count of calls, where no other test of a whole proxy says it."""

from prometheus_client.registry import CollectorRegistry

from proxy.exchange.record import Outcome
from proxy.metrics import Calls
from tests.admin.rows import row


def counted(**fields: object) -> float | None:
    """How often a call with these fields counts as an error for this reason."""
    calls = Calls(10)
    calls.observe(row(**fields))
    registry = CollectorRegistry()
    registry.register(calls)
    return registry.get_sample_value("skinflint_errors_total", {"provider": row().provider, "error": "dns_error"})


def test_errors_are_counted_by_why_and_policy_is_none() -> None:
    assert counted(outcome=Outcome.ERROR, error="dns_error") == 1
    assert counted(outcome=Outcome.REFUSED, error="dns_error") is None
    assert counted(outcome=Outcome.HIT, error="") is None
