{{/* Each of these gives a JSON list of problems, which name the value and say what is allowed. */}}

{{/* URLs with a password in them, which a ConfigMap would show. Takes settings, where they stand, and what to use. */}}
{{- define "skinflint.passwordProblems" -}}
{{- $problems := list -}}
{{- range $key := list "cache.redis.url" "ledger.url" "upstream.proxy" -}}
  {{- $value := include "skinflint.at" (dict "settings" $.settings "key" $key) -}}
  {{- if regexMatch (include "skinflint.passwordPattern" .) $value -}}
    {{- $problems = append $problems (printf "%s.%s: has a password, which a ConfigMap would show; put the URL into a Secret and name it in %s" $.where $key $.instead) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* The same of variables. Takes env, where they stand, and what to use. */}}
{{- define "skinflint.passwordVariableProblems" -}}
{{- $problems := list -}}
{{- range $name := keys $.env | sortAlpha -}}
  {{- if regexMatch (include "skinflint.passwordPattern" $) (get $.env $name) -}}
    {{- $problems = append $problems (printf "%s.%s: has a password, which whoever may look at pods would see; put it into a Secret and name it in %s" $.where $name $.instead) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* Of a URL with a password, as JSON too, which has & as \u0026; some readers take a slash in one, some one in the query. */}}
{{- define "skinflint.passwordPattern" -}}
://[^@?#\s]*:[^@?#\s]*@|([?&]|\\u0026)password=.
{{- end -}}

{{/* Keys that the chart says itself. Takes settings, where they stand, and keys: dotted key to what to use instead. */}}
{{- define "skinflint.reservedProblems" -}}
{{- $problems := list -}}
{{- range $key, $instead := $.keys -}}
  {{- if ne (include "skinflint.at" (dict "settings" $.settings "key" $key)) "null" -}}
    {{- $problems = append $problems (printf "%s.%s: is said by the chart; %s" $.where $key $instead) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "skinflint.injectorProblems" -}}
{{- $problems := list -}}
{{- with .Values.injector -}}
{{- if and .podDisruptionBudget.enabled (gt (int .replicas) 1) (ge (int .podDisruptionBudget.minAvailable) (int .replicas)) -}}
  {{- $problems = append $problems (printf "injector.podDisruptionBudget.minAvailable: must be less than injector.replicas, which is %v; no node could be drained" .replicas) -}}
{{- end -}}
{{- with .webhook.tls -}}
{{- if eq .mode "existing" -}}
  {{- if not .existing.secretName -}}
    {{- $problems = append $problems "injector.webhook.tls.existing.secretName: is needed with mode existing: a Secret with tls.crt and tls.key" -}}
  {{- end -}}
  {{- if and (not .existing.caBundle) (not $.Values.injector.webhook.annotations) -}}
    {{- $problems = append $problems "injector.webhook.tls.existing.caBundle: is needed with mode existing: the CA as PEM; or injector.webhook.annotations by which something else fills it in" -}}
  {{- end -}}
  {{- if and .existing.caBundle (not (contains "-----BEGIN CERTIFICATE-----" .existing.caBundle)) -}}
    {{- $problems = append $problems "injector.webhook.tls.existing.caBundle: must be PEM, beginning with -----BEGIN CERTIFICATE-----; it is encoded by the chart" -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- if .policy.enabled -}}
  {{- if not (semverCompare ">=1.30-0" $.Capabilities.KubeVersion.Version) -}}
    {{- $problems = append $problems (printf "injector.policy.enabled: needs Kubernetes 1.30 or newer; this is %s" $.Capabilities.KubeVersion.Version) -}}
  {{- end -}}
  {{- range $name, $actions := dict "closedActions" .policy.closedActions "openActions" .policy.openActions -}}
    {{- if and (has "Deny" $actions) (has "Warn" $actions) -}}
      {{- $problems = append $problems (printf "injector.policy.%s: Deny and Warn cannot be used together; who is denied sees the message anyway" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.sidecar -}}
{{- $by := "the injector tells each sidecar itself" -}}
{{- $keys := dict "listeners" $by "admin" $by "data_dir" $by "trust_dir" $by -}}
{{- if $.Values.redis.sidecars.secretName }}{{ $_ := set $keys "cache.redis.url" "redis.sidecars.secretName has it" }}{{ end -}}
{{- if $.Values.postgresql.sidecars.secretName }}{{ $_ := set $keys "ledger.url" "postgresql.sidecars.secretName has it" }}{{ end -}}
{{- $problems = concat $problems (include "skinflint.reservedProblems" (dict "settings" .settings "where" "sidecar.settings" "keys" $keys) | fromJsonArray) -}}
{{- $problems = concat $problems (include "skinflint.passwordProblems" (dict "settings" .settings "where" "sidecar.settings" "instead" "sidecar.secretEnv") | fromJsonArray) -}}
{{- $problems = concat $problems (include "skinflint.passwordVariableProblems" (dict "env" .env "where" "sidecar.env" "instead" "sidecar.secretEnv") | fromJsonArray) -}}
{{- if lt (len (uniq (list (int .ports.proxy) (int .ports.redirect) (int .ports.admin)))) 3 -}}
  {{- $problems = append $problems "sidecar.ports: must be three different numbers" -}}
{{- end -}}
{{- $secrets := include "skinflint.sidecarSecrets" $ | fromJson -}}
{{- range $name := keys .env | sortAlpha -}}
  {{- if hasKey $secrets $name -}}
    {{- $problems = append $problems (printf "sidecar.env.%s: also comes from a Secret (sidecar.secretEnv, redis or postgresql); keep one of them" $name) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "skinflint.gatewayProblems" -}}
{{- $problems := list -}}
{{- with .Values.gateway -}}
{{- $keys := dict
      "profile" "it is gateway" "data_dir" "see gateway.data" "trust_dir" "it is in the data directory" "ca_dir" "see gateway.ca"
      "workers" "use gateway.workers" "listeners" "see gateway.listenHost and gateway.tls" "admin" "it is on port 9190; its token is gateway.adminToken"
      "drain.linger_s" "use gateway.drain" "drain.timeout_s" "use gateway.drain" "access.credentials" "use gateway.credentials.secretName"
      "access.kubernetes.enabled" "use gateway.kubernetes.enabled" "access.kubernetes.node" "use gateway.kubernetes.ownNode" -}}
{{- if $.Values.redis.gateway.secretName -}}
  {{- range list "url" "password_file" "ca" "certificate" "key" -}}
    {{- $_ := set $keys (printf "cache.redis.%s" .) "use redis.gateway" -}}
  {{- end -}}
{{- end -}}
{{- if $.Values.postgresql.gateway.secretName }}{{ $_ := set $keys "ledger.url" "use postgresql.gateway" }}{{ end -}}
{{- $problems = concat $problems (include "skinflint.reservedProblems" (dict "settings" .settings "where" "gateway.settings" "keys" $keys) | fromJsonArray) -}}
{{- $problems = concat $problems (include "skinflint.passwordProblems" (dict "settings" .settings "where" "gateway.settings" "instead" "redis.gateway, postgresql.gateway or gateway.secretEnv") | fromJsonArray) -}}
{{- $problems = concat $problems (include "skinflint.passwordVariableProblems" (dict "env" .env "where" "gateway.env" "instead" "gateway.secretEnv") | fromJsonArray) -}}
{{- if and (eq .ca.mode "existing") (not .ca.secretName) -}}
  {{- $problems = append $problems "gateway.ca.secretName: is needed with mode existing: a Secret that `skinflint ca make` or cert-manager filled" -}}
{{- end -}}
{{- if and (eq .ca.mode "certManager") (not .ca.certManager.issuerRef) -}}
  {{- $problems = append $problems "gateway.ca.certManager.issuerRef: is needed with mode certManager: an issuer that signs CAs" -}}
{{- end -}}
{{- if and .tls.enabled (not .tls.secretName) (not .tls.issuerRef) -}}
  {{- $problems = append $problems "gateway.tls.secretName: is needed with gateway.tls.enabled: a Secret with tls.crt and tls.key; or gateway.tls.issuerRef, which makes one" -}}
{{- end -}}
{{- if and .tls.clientCa.secretName (not .tls.enabled) -}}
  {{- $problems = append $problems "gateway.tls.clientCa.secretName: clients show certificates on the HTTPS proxy only; set gateway.tls.enabled" -}}
{{- end -}}
{{- if and .kubernetes.enabled (not .serviceAccount.create) (not .serviceAccount.name) -}}
  {{- $problems = append $problems "gateway.serviceAccount.name: is needed with gateway.kubernetes.enabled and no ServiceAccount of its own; all pods of the namespace would have its rights" -}}
{{- end -}}
{{- if and .service.loadBalancerSourceRanges (ne .service.type "LoadBalancer") -}}
  {{- $problems = append $problems (printf "gateway.service.loadBalancerSourceRanges: is for type LoadBalancer; gateway.service.type is %s" .service.type) -}}
{{- end -}}
{{- $secrets := include "skinflint.gatewaySecrets" $ | fromJson -}}
{{- range $name := keys .env | sortAlpha -}}
  {{- if hasKey $secrets $name -}}
    {{- $problems = append $problems (printf "gateway.env.%s: also comes from a Secret (gateway.secretEnv, redis or postgresql); keep one of them" $name) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "skinflint.scalingProblems" -}}
{{- $problems := list -}}
{{- with .Values.gateway -}}
{{- if and .autoscaling.enabled .keda.enabled -}}
  {{- $problems = append $problems "gateway.keda.enabled: not together with gateway.autoscaling.enabled; KEDA makes an autoscaler of its own" -}}
{{- end -}}
{{- range $name, $scaler := dict "autoscaling" .autoscaling "keda" .keda -}}
  {{- if $scaler.enabled -}}
    {{- if eq $.Values.gateway.kind "DaemonSet" -}}
      {{- $problems = append $problems (printf "gateway.%s.enabled: not with gateway.kind DaemonSet, which has one pod on each node" $name) -}}
    {{- end -}}
    {{- if gt (int $scaler.minReplicas) (int $scaler.maxReplicas) -}}
      {{- $problems = append $problems (printf "gateway.%s.minReplicas: must not be more than maxReplicas, which is %v" $name $scaler.maxReplicas) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $by_cpu := and .autoscaling.enabled .autoscaling.cpuUtilization -}}
{{- if and .autoscaling.enabled (not .autoscaling.cpuUtilization) (not .autoscaling.requestMetric.enabled) -}}
  {{- $problems = append $problems "gateway.autoscaling: needs cpuUtilization, or requestMetric.enabled, or both" -}}
{{- end -}}
{{- if and $by_cpu (not (dig "requests" "cpu" "" .resources)) -}}
  {{- $problems = append $problems "gateway.resources.requests.cpu: is needed with gateway.autoscaling.cpuUtilization, which is a share of it" -}}
{{- end -}}
{{- if and .keda.enabled (not .keda.triggers) -}}
  {{- $problems = append $problems "gateway.keda.triggers: needs at least one, as in a ScaledObject" -}}
{{- end -}}
{{- if and .vpa.enabled $by_cpu (has "cpu" .vpa.controlledResources) (ne .vpa.updateMode "Off") -}}
  {{- $problems = append $problems "gateway.vpa.controlledResources: not cpu together with gateway.autoscaling.cpuUtilization; each would undo what the other does" -}}
{{- end -}}
{{- if eq .data.kind "claim" -}}
  {{- if not .data.claimName -}}
    {{- $problems = append $problems "gateway.data.claimName: is needed with gateway.data.kind claim" -}}
  {{- end -}}
  {{- if or (ne .kind "Deployment") (ne (int .replicas) 1) .autoscaling.enabled .keda.enabled -}}
    {{- $problems = append $problems "gateway.data.kind: claim is for a Deployment with gateway.replicas 1 and no autoscaling; allowed otherwise: emptyDir, ephemeral" -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "skinflint.storeProblems" -}}
{{- $problems := list -}}
{{- with .Values.redis.gateway -}}
{{- range $name, $key := dict "passwordKey" .passwordKey "caKey" .caKey "certificateKey" .certificateKey "privateKeyKey" .privateKeyKey -}}
  {{- if and $key (not $.Values.redis.gateway.secretName) -}}
    {{- $problems = append $problems (printf "redis.gateway.%s: is a key of redis.gateway.secretName, which is empty" $name) -}}
  {{- end -}}
{{- end -}}
{{- if ne (empty .certificateKey) (empty .privateKeyKey) -}}
  {{- $problems = append $problems "redis.gateway.certificateKey, redis.gateway.privateKeyKey: both or none" -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgresql.gateway -}}
{{- if and .caKey (not .secretName) -}}
  {{- $problems = append $problems "postgresql.gateway.caKey: is a key of postgresql.gateway.secretName, which is empty" -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
