"""More cases of alerts that look at one thing in several ways. See alerts.py."""

from tests.chart.helm import NAMESPACE
from tests.monitoring.alerts import Case

_WEBHOOK = f'namespace="{NAMESPACE}",pod="injector-1",container="injector"'
_WEBHOOK_TARGET = f'job="i",instance="10.0.0.8:8443",{_WEBHOOK}'
_CERTIFICATE = {f"skinflint_injector_certificate_expiry_timestamp_seconds{{{_WEBHOOK_TARGET}}}": "9e9x70"}
_LIMIT = {
    f'kube_pod_container_resource_limits{{job="k",instance="k",{_WEBHOOK},resource="memory",unit="byte"}}': "100x70"
}

FURTHER = [
    Case(
        "SkinflintMemoryNearLimit",
        {f"process_resident_memory_bytes{{{_WEBHOOK_TARGET}}}": "95x70", **_CERTIFICATE, **_LIMIT},
        {
            f"process_resident_memory_bytes{{{_WEBHOOK_TARGET}}}": "95x70",
            **_CERTIFICATE,
            **_LIMIT,
            f"container_memory_working_set_bytes{{{_WEBHOOK}}}": "50x70",
            f"container_spec_memory_limit_bytes{{{_WEBHOOK}}}": "100x70",
        },
        {"namespace": NAMESPACE, "pod": "injector-1", "container": "injector"},
        f"injector in {NAMESPACE}/injector-1 uses 95% of its limit. Beyond it the kernel kills it.",
    ),
]
