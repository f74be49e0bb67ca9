"""The plan for all pods, made of the injector's settings."""

from pathlib import Path

from config.errors import Problem, SettingsError
from config.injector import InjectorSettings, host_name
from proxy import version
from proxy.injector.patch import Plan
from proxy.providers.registry import Registry


def plan_for(settings: InjectorSettings, file: Path) -> Plan:
    """The plan. Raises SettingsError when the settings name providers that cannot be."""
    try:
        registry = Registry.from_settings(settings.settings)
    except ValueError as exc:
        raise SettingsError(Problem(str(file), "settings", str(exc))) from exc
    return Plan(settings, exact_hosts(registry), version())


def exact_hosts(registry: Registry) -> tuple[str, ...]:
    """Names that a hosts file can hold, and that are reached on port 443: others would be cut off."""
    return tuple(host for host in registry.hosts() if _is_name(host) and registry.match(host, 443) is not None)


def _is_name(host: str) -> bool:
    try:
        return host_name(host) == host
    except ValueError:
        return False
