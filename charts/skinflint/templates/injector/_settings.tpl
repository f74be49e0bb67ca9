{{/* The injector's settings file: every key of config/injector.py. */}}
{{- define "skinflint.injectorSettings" -}}
{{- with .Values.sidecar -}}
image: {{ default (include "skinflint.image" $) .image | quote }}
image_pull_policy: {{ .imagePullPolicy | toJson }}
image_pull_secrets: {{ .imagePullSecrets | toJson }}
redirect_image: {{ .redirectImage | toJson }}
mode: {{ .mode }}
ipv6: {{ .ipv6 }}
hosts: {{ .hosts | toJson }}
no_proxy: {{ .noProxy | toJson }}
exclude_cidrs: {{ .excludeCidrs | toJson }}
system_store: {{ .systemStore }}
labels: {{ .labels | toJson }}
settings: {{ .settings | toJson }}
env: {{ .env | toJson }}
secret_env: {{ include "skinflint.sidecarSecrets" $ }}
resources: {{ .resources | toJson }}
admin_host: {{ .adminHost | quote }}
ports: {{ .ports | toJson }}
startup_s: {{ .startupSeconds }}
{{- end -}}
{{- end -}}

{{/* secret_env as JSON: `sidecar.secretEnv`, and the URLs of Redis and PostgreSQL where they are referred to. */}}
{{- define "skinflint.sidecarSecrets" -}}
{{- $secrets := deepCopy .Values.sidecar.secretEnv -}}
{{- with .Values.redis.sidecars -}}
{{- if .secretName -}}
{{- $_ := set $secrets "SKINFLINT_CACHE__REDIS__URL" (dict "name" .secretName "key" .urlKey "optional" .optional) -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgresql.sidecars -}}
{{- if .secretName -}}
{{- $_ := set $secrets "SKINFLINT_LEDGER__URL" (dict "name" .secretName "key" .urlKey "optional" .optional) -}}
{{- end -}}
{{- end -}}
{{- $secrets | toJson -}}
{{- end -}}
