"""A worker's part of what is limited for the proxy as a whole.

Rules: limits of one client, one answer or one call stay as they are; what bounds the sum over all clients is divided,
rounded up. Clients are spread by the kernel, so a worker may reach its part a little before the whole is reached.
"""

from config.schema import Settings
from proxy.workers.place import WorkerPlace


def share_of(settings: Settings, place: WorkerPlace | None) -> Settings:
    """The settings as this worker obeys them; the whole proxy's, when it is the only process."""
    if place is None or place.count == 1:
        return settings

    def part(whole: int, least: int = 1) -> int:
        return max(least, -(-whole // place.count))

    limits, memory, upstream, ledger = settings.limits, settings.cache.memory, settings.upstream, settings.ledger
    return settings.model_copy(
        update={
            "limits": limits.model_copy(update={"max_connections": part(limits.max_connections)}),
            "cache": settings.cache.model_copy(
                update={"memory": memory.model_copy(update={"repeats_max_bytes": part(memory.repeats_max_bytes, 0)})}
            ),
            "upstream": upstream.model_copy(update={"max_connections": part(upstream.max_connections)}),
            "ledger": ledger.model_copy(update={"queue_rows": part(ledger.queue_rows, 100)}),
        }
    )
