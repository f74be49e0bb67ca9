{{/* Alerts about sidecars and gateways alike. docs/runbooks.md says what to do about each. */}}
{{- define "skinflint.alerts.proxies" -}}
{{- $than := .Values.monitoring.prometheusRule.thresholds -}}
{{- $full := include "skinflint.fullname" . -}}
{{- $jobs := printf "%s/%s-sidecars|%s-gateway-metrics" .Release.Namespace $full $full -}}
- alert: SkinflintProxyDown
  expr: up{job=~"{{ $jobs }}"} == 0
  for: 5m
  severity: warning
  summary: A Skinflint proxy does not answer
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has not been scraped for five minutes. Calls of its application may fail.'`}}
- alert: SkinflintNotReady
  expr: max by (namespace, pod, state) (skinflint_state{state!="running"}) > 0
  for: 5m
  severity: warning
  summary: A Skinflint proxy takes no calls
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has been {{ $labels.state }} for five minutes.'`}}
- alert: SkinflintRestarts
  expr: changes(process_start_time_seconds[30m]) > 2 and on (job, instance) skinflint_build_info
  for: 0m
  severity: warning
  summary: A Skinflint proxy starts again and again
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has begun {{ $value }} times anew within half an hour.'`}}
- alert: SkinflintWorkerRestarts
  expr: sum by (namespace, pod) (increase(skinflint_worker_restarts_total[30m])) > 2
  for: 0m
  severity: warning
  summary: Workers of a Skinflint proxy die
  description: {{`'{{ $value | printf "%.0f" }} workers of {{ $labels.namespace }}/{{ $labels.pod }} were replaced within half an hour.'`}}
- alert: SkinflintProviderErrors
  expr: |
    sum by (provider) (rate(skinflint_requests_total{outcome!~"hit|collapsed|refused", code=~"5.."}[10m]))
      / sum by (provider) (rate(skinflint_requests_total{outcome!~"hit|collapsed|refused"}[10m]))
      > {{ $than.providerErrorShare }}
  for: 10m
  severity: warning
  summary: A provider fails
  description: {{`'{{ $value | humanizePercentage }} of the calls to {{ $labels.provider }} end in 5xx.'`}}
- alert: SkinflintProviderLimits
  expr: |
    sum by (provider) (rate(skinflint_requests_total{outcome!~"hit|collapsed|refused", code="429"}[10m]))
      / sum by (provider) (rate(skinflint_requests_total{outcome!~"hit|collapsed|refused"}[10m]))
      > {{ $than.providerLimitShare }}
  for: 10m
  severity: warning
  summary: A provider limits our calls
  description: {{`'{{ $value | humanizePercentage }} of the calls to {{ $labels.provider }} are answered 429.'`}}
- alert: SkinflintErrors
  expr: |
    sum by (namespace, workload) (rate(skinflint_errors_total{error!="client_disconnected"}[10m]))
      / sum by (namespace, workload) (rate(skinflint_requests_total[10m]))
      > {{ $than.errorShare }}
  for: 10m
  severity: warning
  summary: Calls get no complete answer
  description: {{`'{{ $value | humanizePercentage }} of the calls of {{ $labels.namespace }} {{ $labels.workload }} get no complete answer.'`}}
- alert: SkinflintStageFailures
  expr: sum by (namespace, stage) (increase(skinflint_stage_failures_total[15m])) > 0
  for: 0m
  severity: warning
  summary: A part of Skinflint fails and is stepped over
  description: {{`'The stage {{ $labels.stage }} has failed {{ $value | printf "%.0f" }} times in {{ $labels.namespace }}. Calls go on without it.'`}}
- alert: SkinflintOverheadHigh
  expr: |
    histogram_quantile(0.99, sum by (namespace, workload, le) (rate(skinflint_overhead_seconds_bucket[10m])))
      > {{ $than.overheadSeconds }}
  for: 15m
  severity: warning
  summary: Skinflint holds calls up
  description: {{`'One of a hundred calls of {{ $labels.namespace }} {{ $labels.workload }} waits {{ $value | humanizeDuration }} in the proxy.'`}}
- alert: SkinflintClientsRefuseCertificate
  expr: sum by (namespace, workload) (increase(skinflint_client_connections_total{kind="rejected"}[15m])) > 0
  for: 0m
  severity: info
  summary: Clients do not trust the certificate authority of their proxy
  description: {{`'Clients in {{ $labels.namespace }} {{ $labels.workload }} have rejected our certificate. Their calls are tunnelled, unmetered.'`}}
- alert: SkinflintConnectionsNearLimit
  expr: |
    (skinflint_client_connections_open + ignoring (kind) skinflint_tasks{kind="tunnel"})
      / skinflint_client_connections_limit > {{ $than.connectionShare }}
  for: 5m
  severity: warning
  summary: A Skinflint proxy has nearly as many connections as it takes
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has {{ $value | humanizePercentage }} of limits.max_connections. More are refused.'`}}
- alert: SkinflintMemoryNearLimit
  expr: |
    (
        (
            container_memory_working_set_bytes{container="skinflint"}
          or
            container_memory_working_set_bytes{container=~"injector|gateway", namespace="{{ .Release.Namespace }}"}
        ) / (container_spec_memory_limit_bytes > 0)
      or on (namespace, pod, container)
        sum by (namespace, pod, container) (
          process_resident_memory_bytes and on (job, instance) (skinflint_build_info or skinflint_injector_certificate_expiry_timestamp_seconds)
        )
        / on (namespace, pod, container)
        max by (namespace, pod, container) (kube_pod_container_resource_limits{resource="memory"} > 0)
    ) > {{ $than.memoryShare }}
  for: 10m
  severity: warning
  summary: A Skinflint container has nearly all the memory that it may have
  description: {{`'{{ $labels.container }} in {{ $labels.namespace }}/{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its limit. Beyond it the kernel kills it.'`}}
- alert: SkinflintFilesNearLimit
  expr: process_open_fds / process_max_fds > {{ $than.fileShare }} and on (job, instance) skinflint_build_info
  for: 10m
  severity: warning
  summary: A Skinflint proxy has nearly all the open files that it may have
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has {{ $value | humanizePercentage }} of its open files in use.'`}}
- alert: SkinflintTierDown
  expr: max by (namespace, pod, tier) (skinflint_cache_tier_down) > 0
  for: {{ $than.tierDownFor }}
  severity: warning
  summary: A tier of the cache cannot be used
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} does without its tier {{ $labels.tier }}. Calls go on; fewer are answered again.'`}}
- alert: SkinflintLedgerDegraded
  expr: max by (namespace, pod) (skinflint_ledger_degraded) > 0
  for: 10m
  severity: warning
  summary: The ledger cannot be written
  description: {{`'Rows of {{ $labels.namespace }}/{{ $labels.pod }} wait in memory. When the queue is full they are lost.'`}}
- alert: SkinflintLedgerRowsLost
  expr: sum by (namespace, pod) (increase(skinflint_ledger_rows{state="lost"}[15m])) > 0
  for: 0m
  severity: critical
  summary: Rows of the ledger are lost
  description: {{`'{{ $value | printf "%.0f" }} rows of {{ $labels.namespace }}/{{ $labels.pod }} were lost: the ledger says less than was spent.'`}}
- alert: SkinflintSettingsRefused
  expr: sum by (namespace, pod) (increase(skinflint_settings_reloads_total{outcome="refused"}[15m])) > 0
  for: 0m
  severity: warning
  summary: Changed settings were refused
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} goes on with the settings that it had. Its log says why.'`}}
- alert: SkinflintAuthorityEndsSoon
  expr: min by (namespace, pod) (skinflint_ca_expiry_timestamp_seconds) - time() < {{ mul $than.authorityDays 86400 }}
  for: 1h
  severity: warning
  summary: A certificate authority ends soon
  description: {{`'The authority of {{ $labels.namespace }}/{{ $labels.pod }} ends in {{ $value | humanizeDuration }}. After that no client accepts it.'`}}
{{- end -}}
