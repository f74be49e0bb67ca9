{{/* What the release's objects are called; short enough for every suffix to fit into 63 characters. */}}
{{- define "skinflint.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a selector matches; must never change between versions. Takes root and component. */}}
{{- define "skinflint.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of an object. Takes root and component. */}}
{{- define "skinflint.labels" -}}
{{- $labels := include "skinflint.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "skinflint" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- merge $labels .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
The labels of a pod. Takes root and component; labels. Without the chart's version: another chart alone is no reason to
make pods anew.
*/}}
{{- define "skinflint.podLabels" -}}
{{- $labels := include "skinflint.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "skinflint" -}}
{{- merge $labels (default dict .labels) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* An object's metadata. Takes root, component and name; annotations; cluster: true for what has no namespace. */}}
{{- define "skinflint.metadata" -}}
name: {{ .name | quote }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "skinflint.labels" (dict "root" .root "component" .component) | nindent 2 }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "skinflint.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of a component's ServiceAccount. Takes root and component. */}}
{{- define "skinflint.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- $own := printf "%s-%s" (include "skinflint.fullname" .root) .component -}}
{{- if $account.create -}}
{{- default $own $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{/* The metadata of a component's pods. Takes root and component; annotations. */}}
{{- define "skinflint.podMetadata" -}}
{{- $values := index .root.Values .component -}}
labels:
  {{- include "skinflint.podLabels" (dict "root" .root "component" .component "labels" $values.podLabels) | nindent 2 }}
{{- with merge dict (default dict .annotations) $values.podAnnotations .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
What all our pods have in common: who they are and where they run. Takes root and component; token: whether they may
ask the API; spread: whether they are spread.
*/}}
{{- define "skinflint.podSpec" -}}
{{- $ := . -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "skinflint.serviceAccountName" . }}
automountServiceAccountToken: {{ .token }}
# Variables for every Service of the namespace would only slow the start.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .spread }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "skinflint.selectorLabels" $ | fromYaml)) }}
  - {{ toYaml (merge dict . $own) | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A container's image. */}}
{{- define "skinflint.containerImage" -}}
image: {{ include "skinflint.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* What stands at a dotted key of settings, as JSON; null for nothing. Takes settings and key. */}}
{{- define "skinflint.at" -}}
{{- $value := .settings -}}
{{- $is_there := true -}}
{{- range splitList "." .key -}}
  {{- if and $is_there (kindIs "map" $value) (hasKey $value .) -}}
    {{- $value = get $value . -}}
  {{- else -}}
    {{- $is_there = false -}}
  {{- end -}}
{{- end -}}
{{- ternary (toJson $value) "null" $is_there -}}
{{- end -}}

{{/*
Files of a store's Secret that are mounted, as JSON: file name to key; empty for none. Takes the values of the store for
the gateway or for sidecars.
*/}}
{{- define "skinflint.storeFiles" -}}
{{- $items := dict -}}
{{- if .secretName -}}
{{- range $path, $key := dict "password" .passwordKey "ca.crt" .caKey "tls.crt" .certificateKey "tls.key" .privateKeyKey -}}
{{- if $key }}{{ $_ := set $items $path $key }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $items | toJson -}}
{{- end -}}

{{/* Where they are, as JSON: what `cache.redis` says of them. Takes the same. */}}
{{- define "skinflint.redisFileSettings" -}}
{{- $keys := dict "password" "password_file" "ca.crt" "ca" "tls.crt" "certificate" "tls.key" "key" -}}
{{- $settings := dict -}}
{{- range $path, $_key := include "skinflint.storeFiles" . | fromJson -}}
{{- $_ := set $settings (get $keys $path) (printf "/etc/skinflint/redis/%s" $path) -}}
{{- end -}}
{{- $settings | toJson -}}
{{- end -}}

{{/* The same files of PostgreSQL. libpq takes no password from a file that a group may read: that one is a variable. */}}
{{- define "skinflint.postgresqlFiles" -}}
{{- omit (include "skinflint.storeFiles" . | fromJson) "password" | toJson -}}
{{- end -}}

{{/* Variables by which libpq finds them where the URL says nothing, as JSON. */}}
{{- define "skinflint.postgresqlEnv" -}}
{{- $names := dict "ca.crt" "PGSSLROOTCERT" "tls.crt" "PGSSLCERT" "tls.key" "PGSSLKEY" -}}
{{- $env := dict -}}
{{- range $path, $_key := include "skinflint.postgresqlFiles" . | fromJson -}}
{{- $_ := set $env (get $names $path) (printf "/etc/skinflint/postgresql/%s" $path) -}}
{{- end -}}
{{- $env | toJson -}}
{{- end -}}
