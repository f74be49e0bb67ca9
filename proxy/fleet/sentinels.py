"""Asking sentinels who is master, through redis-py: it knows their answers, and whom of them not to believe.

Rules: user and password are Redis's own; sentinels get them only if they ask for any.
"""

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from proxy.fleet.dialing import LinkSettings, credentials
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.urls import Address, RedisPlace


async def master_address(place: RedisPlace, settings: LinkSettings) -> Address:
    """The master of the place's service, as the first sentinel says that knows one. Raises RedisUnavailableError."""
    try:
        try:
            return await _ask(place, settings, with_password=False)
        except AuthenticationError:
            return await _ask(place, settings, with_password=True)
    except MasterNotFoundError as failure:
        raise RedisUnavailableError("no_master") from failure
    except (RedisError, OSError) as failure:
        raise RedisUnavailableError("no_sentinel") from failure


async def _ask(place: RedisPlace, settings: LinkSettings, *, with_password: bool) -> Address:
    options: dict[str, object] = {
        "socket_timeout": settings.connect_timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    if with_password:
        options["username"], options["password"] = await credentials(place, settings)
    if place.is_tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": str(settings.ca) if settings.ca else None,
            "ssl_certfile": str(settings.certificate) if settings.certificate else None,
            "ssl_keyfile": str(settings.key) if settings.key else None,
        }
    hosts = [(address.host, address.port) for address in place.addresses]
    async with Sentinel(hosts, sentinel_kwargs=options) as sentinels:  # type: ignore[no-untyped-call]  # of redis-py
        host, port = await sentinels.discover_master(place.service)
    return Address(host, port)
