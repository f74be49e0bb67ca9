"""`skinflint cache stats`: what each tier holds and how it does, and all other statistics of the proxy."""

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of, show


def command(
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Show each tier of the cache (entries, bytes, hits, misses, failures, whether it is down), and the proxy's calls.

    Example: skinflint cache stats --format json
    """
    show(admin_of(admin, config, data_dir, with_token=False).ask("GET", "/v1/stats"), output)
