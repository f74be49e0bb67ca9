"""For each alert: what makes it fire, what does not, and what it says then. In promtool's notation of series.

`1+2x60`: 1, then 2 more each minute, 60 times; `0x60`: 0, and 60 times the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chart.helm import NAMESPACE, RELEASE

type Series = Mapping[str, str]

JOBS = f"{NAMESPACE}/{RELEASE}-sidecars"
WEB = 'namespace="shop",pod="web-1"'
WORK = 'namespace="shop",workload="Deployment/web"'
TARGET = f'job="{JOBS}",instance="10.0.0.7:19190",{WEB}'


@dataclass(frozen=True, slots=True)
class Case:
    """One alert. `says`: its description, when it fires with `labels` at `at`."""

    alert: str
    fires: Series
    quiet: Series
    labels: Mapping[str, str]
    says: str
    at: str = "1h"


def shares(of: str, part: str, rest: str) -> tuple[Series, Series]:
    """Calls of which a third is `part`, and of which a hundredth is."""
    whole = f"skinflint_requests_total{{{of},{rest}}}"
    named = f"skinflint_requests_total{{{of},{part}}}"
    return {whole: "0+60x70", named: "0+30x70"}, {whole: "0+99x70", named: "0+1x70"}


FAILING = shares('provider="openai"', 'outcome="miss",code="500"', 'outcome="miss",code="200"')
LIMITED = shares('provider="openai"', 'outcome="bypass",code="429"', 'outcome="miss",code="200"')
_ANSWERED = f'skinflint_requests_total{{{WORK},outcome="hit"}}'
_PAID = f'skinflint_requests_total{{{WORK},outcome="miss"}}'


def histogram(name: str, labels: str, slow: int) -> Series:
    """A hundred times a minute, of which so many took between the second bound and the third."""
    bounds = (("0.01", 100 - slow), ("0.05", 100 - slow), ("10", 100), ("+Inf", 100))
    return {f'{name}_bucket{{{labels},le="{bound}"}}': f"0+{count}x70" for bound, count in bounds}


def counted(name: str, labels: str) -> tuple[Series, Series]:
    """A counter that was higher after fifty minutes, and one that never moves."""
    series = f"{name}{{{labels}}}" if labels else name
    return {series: "0x50 5x20"}, {series: "5x70"}


def case(alert: str, both: tuple[Series, Series], labels: Mapping[str, str], says: str, at: str = "1h") -> Case:
    """One whose series come in pairs."""
    return Case(alert, both[0], both[1], labels, says, at)


POD = {"namespace": "shop", "pod": "web-1"}
WORKLOAD = {"namespace": "shop", "workload": "Deployment/web"}
ON_TARGET = {"job": JOBS, "instance": "10.0.0.7:19190", **POD}
BUILD = {f'skinflint_build_info{{{TARGET},version="1"}}': "1x70"}

CASES = [
    Case(
        "SkinflintProxyDown",
        {f"up{{{TARGET}}}": "0x70"},
        {f"up{{{TARGET}}}": "1x70", 'up{job="else"}': "0x70"},
        ON_TARGET,
        "shop/web-1 has not been scraped for five minutes. Calls of its application may fail.",
    ),
    Case(
        "SkinflintNotReady",
        {f'skinflint_state{{{WEB},state="stopping"}}': "1x70"},
        {f'skinflint_state{{{WEB},state="stopping"}}': "0x70", f'skinflint_state{{{WEB},state="running"}}': "1x70"},
        {**POD, "state": "stopping"},
        "shop/web-1 has been stopping for five minutes.",
    ),
    Case(
        "SkinflintRestarts",
        {f"process_start_time_seconds{{{TARGET}}}": "1x40 2x5 3x5 4x20", **BUILD},
        {
            f"process_start_time_seconds{{{TARGET}}}": "1x40 2x30",
            **BUILD,
            'process_start_time_seconds{job="x"}': "1+1x70",
        },
        ON_TARGET,
        "shop/web-1 has begun 3 times anew within half an hour.",
    ),
    case(
        "SkinflintWorkerRestarts",
        counted("skinflint_worker_restarts_total", f'{WEB},worker="0"'),
        POD,
        "5 workers of shop/web-1 were replaced within half an hour.",
    ),
    case("SkinflintProviderErrors", FAILING, {"provider": "openai"}, "33.33% of the calls to openai end in 5xx."),
    case("SkinflintProviderLimits", LIMITED, {"provider": "openai"}, "33.33% of the calls to openai are answered 429."),
    Case(
        "SkinflintErrors",
        {
            f"skinflint_requests_total{{{WORK}}}": "0+60x70",
            f'skinflint_errors_total{{{WORK},error="connection_refused"}}': "0+6x70",
        },
        {
            f"skinflint_requests_total{{{WORK}}}": "0+60x70",
            f'skinflint_errors_total{{{WORK},error="client_disconnected"}}': "0+60x70",
        },
        WORKLOAD,
        "10% of the calls of shop Deployment/web get no complete answer.",
    ),
    case(
        "SkinflintStageFailures",
        counted("skinflint_stage_failures_total", f'{WEB},stage="cache"'),
        {"namespace": "shop", "stage": "cache"},
        "The stage cache has failed 5 times in shop. Calls go on without it.",
    ),
    Case(
        "SkinflintOverheadHigh",
        histogram("skinflint_overhead_seconds", WORK, slow=10),
        histogram("skinflint_overhead_seconds", WORK, slow=0),
        WORKLOAD,
        "One of a hundred calls of shop Deployment/web waits 9.005s in the proxy.",
    ),
    case(
        "SkinflintClientsRefuseCertificate",
        counted("skinflint_client_connections_total", f'{WORK},kind="rejected"'),
        WORKLOAD,
        "Clients in shop Deployment/web have rejected our certificate. Their calls are tunnelled, unmetered.",
    ),
    Case(
        "SkinflintConnectionsNearLimit",
        {
            f"skinflint_client_connections_open{{{WEB}}}": "800x70",
            f'skinflint_tasks{{{WEB},kind="tunnel"}}': "100x70",
            f"skinflint_client_connections_limit{{{WEB}}}": "1000x70",
        },
        {
            f"skinflint_client_connections_open{{{WEB}}}": "700x70",
            f'skinflint_tasks{{{WEB},kind="tunnel"}}': "100x70",
            f"skinflint_client_connections_limit{{{WEB}}}": "1000x70",
        },
        POD,
        "shop/web-1 has 90% of limits.max_connections. More are refused.",
    ),
    Case(
        "SkinflintMemoryNearLimit",
        {
            f'container_memory_working_set_bytes{{{WEB},container="skinflint"}}': "95x70",
            f'container_spec_memory_limit_bytes{{{WEB},container="skinflint"}}': "100x70",
        },
        {
            f'container_memory_working_set_bytes{{{WEB},container="skinflint"}}': "80x70",
            f'container_spec_memory_limit_bytes{{{WEB},container="skinflint"}}': "100x70",
            f'container_memory_working_set_bytes{{{WEB},container="gateway"}}': "99x70",
            f'container_spec_memory_limit_bytes{{{WEB},container="gateway"}}': "100x70",
        },
        {**POD, "container": "skinflint"},
        "skinflint in shop/web-1 uses 95% of its limit. Beyond it the kernel kills it.",
    ),
    Case(
        "SkinflintFilesNearLimit",
        {f"process_open_fds{{{TARGET}}}": "90x70", f"process_max_fds{{{TARGET}}}": "100x70", **BUILD},
        {
            f"process_open_fds{{{TARGET}}}": "50x70",
            f"process_max_fds{{{TARGET}}}": "100x70",
            **BUILD,
            'process_open_fds{job="x"}': "99x70",
            'process_max_fds{job="x"}': "100x70",
        },
        ON_TARGET,
        "shop/web-1 has 90% of its open files in use.",
    ),
    Case(
        "SkinflintTierDown",
        {f'skinflint_cache_tier_down{{{WEB},tier="redis"}}': "1x70"},
        {f'skinflint_cache_tier_down{{{WEB},tier="redis"}}': "0x55 1x15"},
        {**POD, "tier": "redis"},
        "shop/web-1 does without its tier redis. Calls go on; fewer are answered again.",
    ),
    Case(
        "SkinflintLedgerDegraded",
        {f"skinflint_ledger_degraded{{{WEB}}}": "1x70"},
        {f"skinflint_ledger_degraded{{{WEB}}}": "0x70"},
        POD,
        "Rows of shop/web-1 wait in memory. When the queue is full they are lost.",
    ),
    case(
        "SkinflintLedgerRowsLost",
        counted("skinflint_ledger_rows", f'{WEB},state="lost"'),
        POD,
        "5 rows of shop/web-1 were lost: the ledger says less than was spent.",
    ),
    case(
        "SkinflintSettingsRefused",
        counted("skinflint_settings_reloads_total", f'{WEB},outcome="refused"'),
        POD,
        "shop/web-1 goes on with the settings that it had. Its log says why.",
    ),
    Case(
        "SkinflintAuthorityEndsSoon",
        {f"skinflint_ca_expiry_timestamp_seconds{{{WEB}}}": "871200x130"},
        {f"skinflint_ca_expiry_timestamp_seconds{{{WEB}}}": "8712000x130"},
        POD,
        "The authority of shop/web-1 ends in 10d 0h 0m 0s. After that no client accepts it.",
    ),
    case(
        "SkinflintUnpricedSpend",
        counted("skinflint_unpriced_total", f'{WEB},provider="openai",model="new-1"'),
        {"provider": "openai", "model": "new-1"},
        "5 calls to new-1 of openai have no price. Costs say less than was spent.",
    ),
    Case(
        "SkinflintSpendBurst",
        {f"skinflint_cost_usd_total{{{WEB}}}": "0+2x70"},
        {f"skinflint_cost_usd_total{{{WEB}}}": "0+1x70"},
        {"namespace": "shop"},
        "shop has spent 120.00 USD within an hour.",
    ),
    Case(
        "SkinflintHitShareDropped",
        {_ANSWERED: "0+50x1440 72000+10x300", _PAID: "0+50x1440 72000+90x300"},
        {_ANSWERED: "0+50x1440 72000+40x300", _PAID: "0+50x1440 72000+60x300"},
        {"namespace": "shop"},
        "In shop 10% of what may be answered from the cache is.",
        at="28h",
    ),
    Case(
        "SkinflintInjectorDown",
        {f'up{{job="{RELEASE}-injector",namespace="{NAMESPACE}"}}': "0x70"},
        {
            f'up{{job="{RELEASE}-injector",namespace="{NAMESPACE}",pod="a"}}': "0x70",
            f'up{{job="{RELEASE}-injector",namespace="{NAMESPACE}",pod="b"}}': "1x70",
        },
        {},
        "Where the webhook fails closed no pod is made; where it fails open pods are made without the sidecar.",
    ),
    case(
        "SkinflintInjectorFailing",
        counted("skinflint_injector_reviews_total", 'namespace="skinflint",outcome="failed"'),
        {"namespace": "skinflint", "outcome": "failed"},
        "5 reviews were failed within a quarter of an hour.",
    ),
    Case(
        "SkinflintInjectorSlow",
        histogram("skinflint_injector_review_seconds", 'namespace="skinflint"', slow=10),
        histogram("skinflint_injector_review_seconds", 'namespace="skinflint"', slow=0),
        {"namespace": "skinflint"},
        "One of a hundred reviews takes 9.005s. API servers wait for injector.webhook.timeoutSeconds.",
    ),
    case(
        "SkinflintPodsRefused",
        counted("skinflint_injector_reviews_total", 'namespace="skinflint",outcome="refused"'),
        {"namespace": "skinflint"},
        "5 pods could not be given the sidecar. Events of their owners, and the injector's log, name them.",
    ),
    case(
        "SkinflintInjectorChangeRefused",
        counted("skinflint_injector_reloads_total", f'{WEB},outcome="refused",what="certificate"'),
        {**POD, "what": "certificate"},
        "shop/web-1 goes on with the certificate that it had. Its log says why.",
    ),
    Case(
        "SkinflintInjectorCertificateEndsSoon",
        {'skinflint_injector_certificate_expiry_timestamp_seconds{namespace="skinflint"}': "439200x130"},
        {'skinflint_injector_certificate_expiry_timestamp_seconds{namespace="skinflint"}': "4392000x130"},
        {"namespace": "skinflint"},
        "It ends in 5d 0h 0m 0s. After that API servers do not accept the webhook.",
    ),
    Case(
        "SkinflintGatewayDown",
        {f'up{{job="{RELEASE}-gateway-metrics",namespace="{NAMESPACE}"}}': "0x70"},
        {f'up{{job="{RELEASE}-gateway-metrics",namespace="{NAMESPACE}"}}': "1x70"},
        {},
        "Calls of all its clients fail.",
    ),
    Case(
        "SkinflintGatewayRefuses",
        {f'skinflint_refused_total{{job="{RELEASE}-gateway-metrics",reason="destination"}}': "0+120x70"},
        {f'skinflint_refused_total{{job="{RELEASE}-gateway-metrics",reason="destination"}}': "0+30x70"},
        {"reason": "destination"},
        "2.0 a second are refused, as their destination is not allowed.",
    ),
    Case(
        "SkinflintGatewayBlind",
        {f'skinflint_access_pods_age_seconds{{job="{RELEASE}-gateway-metrics",{WEB}}}': "420x70"},
        {f'skinflint_access_pods_age_seconds{{job="{RELEASE}-gateway-metrics",{WEB}}}': "60x70"},
        POD,
        "shop/web-1 has not heard of the Kubernetes API for 7m 0s. Past access.kubernetes.stale_s it knows no pod.",
    ),
]
