"""The simulator's fixtures for its own tests."""

from tests.support.simulator import (
    make_client,
    plain_simulator,
    provider_certificates,
    simulator,
    simulator_process,
)

__all__ = ["make_client", "plain_simulator", "provider_certificates", "simulator", "simulator_process"]
