{{/*
skinflint.yaml of the gateway, as YAML: `gateway.settings`, and what the chart says itself. Paths are those of the
volumes in _pod.tpl.
*/}}
{{- define "skinflint.gatewaySettings" -}}
{{- $gateway := .Values.gateway -}}
{{- $host := .Values.listenHost -}}
{{- $listeners := list (dict "address" (printf "%s:3128" $host) "mode" "regular") -}}
{{- if $gateway.tls.enabled -}}
  {{- $tls := dict "certificate" "/etc/skinflint/tls/tls.crt" "key" "/etc/skinflint/tls/tls.key" -}}
  {{- if $gateway.tls.clientCa.secretName -}}
    {{- $_ := set $tls "client_ca" "/etc/skinflint/client-ca/ca.crt" -}}
  {{- end -}}
  {{- $listeners = append $listeners (dict "address" (printf "%s:3129" $host) "mode" "regular" "tls" $tls) -}}
{{- end -}}
{{- $access := dict -}}
{{- if $gateway.credentials.secretName -}}
  {{- $_ := set $access "credentials" "/etc/skinflint/access/credentials" -}}
{{- end -}}
{{- if $gateway.kubernetes.enabled -}}
  {{- $_ := set $access "kubernetes" (dict "enabled" true) -}}
{{- end -}}
{{- $redis := include "skinflint.redisFileSettings" .Values.redis.gateway | fromJson -}}
{{- $admin := dict "address" (printf "%s:9190" $host) -}}
{{- if $gateway.adminToken.secretName -}}
  {{- $_ := set $admin "token_file" "/etc/skinflint/admin/token" -}}
{{- end -}}
{{- $own := dict
      "profile" "gateway"
      "data_dir" "/var/lib/skinflint"
      "ca_dir" "/etc/skinflint/ca"
      "workers" $gateway.workers
      "listeners" $listeners
      "admin" $admin
      "drain" (dict "linger_s" $gateway.drain.lingerSeconds "timeout_s" $gateway.drain.timeoutSeconds) -}}
{{- if $access }}{{ $_ := set $own "access" $access }}{{ end -}}
{{- if $redis }}{{ $_ := set $own "cache" (dict "redis" $redis) }}{{ end -}}
{{- mergeOverwrite (deepCopy $gateway.settings) $own | toYaml -}}
{{- end -}}

{{/*
A digest of the settings that cannot change while running: pods are made anew when one of them changes. All others are
taken live from the ConfigMap, so the pods must stay as they are.
*/}}
{{- define "skinflint.gatewayFixedSettings" -}}
{{- $settings := include "skinflint.gatewaySettings" . | fromYaml -}}
{{- $keys := list "listeners" "admin" "data_dir" "trust_dir" "ca_dir" "workers" "ledger.url" "cache.redis" "cache.disk"
      "cache.key_file" "cache.memory.max_bytes" "collapse.fleet" "attribution.call_metric_labels" -}}
{{- $fixed := dict -}}
{{- range $keys -}}
  {{- $_ := set $fixed . (include "skinflint.at" (dict "settings" $settings "key" .)) -}}
{{- end -}}
{{- $fixed | toJson | sha256sum -}}
{{- end -}}
