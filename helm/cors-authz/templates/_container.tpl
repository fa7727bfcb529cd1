{{/* The service's container: what serves in a Deployment, in a DaemonSet, and beside another's Envoy. */}}

{{- define "cors-authz.listen" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- printf "unix:%s/authz.sock" .Values.sidecar.socketFolder -}}
{{- else -}}
{{- printf "%s:%d" .Values.server.host (int .Values.server.port) -}}
{{- end -}}
{{- end -}}

{{/* How `cors-authz health` asks; a pod that it runs in says where by CORS_AUTHZ_LISTEN. */}}
{{- define "cors-authz.health-flags" -}}
- --timeout=2
{{- if .Values.tls.enabled }}
- --tls-ca=/etc/cors-authz/tls/ca.crt
- --tls-name={{ include "cors-authz.host" . }}
{{- if .Values.tls.requireClientCertificate }}
- --tls-cert=/etc/cors-authz/tls/tls.crt
- --tls-key=/etc/cors-authz/tls/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/*
list $ timing: a probe. Service "" is asked, which does not depend on the newest policy. The kubelet itself speaks neither
TLS nor to sockets; a program that is started each time takes more of the CPU than the checks, so it is started seldom.
*/}}
{{- define "cors-authz.probe" -}}
{{- $root := index . 0 -}}
{{- $timing := deepCopy (index . 1) -}}
{{- if or $root.Values.tls.enabled (eq $root.Values.mode "sidecar") -}}
exec:
  command:
  - cors-authz
  - health
{{ include "cors-authz.health-flags" $root | indent 2 }}
{{- if gt (int (default 10 $timing.periodSeconds)) 1 }}
{{- $_ := set $timing "periodSeconds" (max 10 (int (default 10 $timing.periodSeconds))) }}
{{- end }}
{{- else -}}
grpc:
  port: {{ $root.Values.server.port }}
{{- end }}
{{ toYaml $timing }}
{{- end -}}

{{/* Kubernetes before 1.30 has no `sleep`: there the service itself says NOT_SERVING for that much longer. */}}
{{- define "cors-authz.has-sleep" -}}
{{- if and (ne .Values.mode "sidecar") (gt (int .Values.server.preStopSeconds) 0) (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end -}}
{{- end -}}

{{- define "cors-authz.drain-seconds" -}}
{{- if eq .Values.mode "sidecar" -}}
0
{{- else if include "cors-authz.has-sleep" . -}}
{{- .Values.server.drainSeconds -}}
{{- else -}}
{{- addf .Values.server.drainSeconds .Values.server.preStopSeconds -}}
{{- end -}}
{{- end -}}

{{/* The waits, and five seconds for the end itself. */}}
{{- define "cors-authz.termination-seconds" -}}
{{- $server := .Values.server -}}
{{- add 5 (ceil (addf $server.preStopSeconds $server.drainSeconds $server.graceSeconds) | int) -}}
{{- end -}}

{{- define "cors-authz.settings" -}}
CORS_AUTHZ_POLICY: /etc/cors-authz/policy
CORS_AUTHZ_ENVIRONMENT: {{ .Values.environment | quote }}
CORS_AUTHZ_LISTEN: {{ include "cors-authz.listen" . | quote }}
CORS_AUTHZ_WORKERS: {{ .Values.workers | quote }}
CORS_AUTHZ_MAX_CONCURRENT: {{ int .Values.server.maxConcurrent | quote }}
CORS_AUTHZ_DRAIN_SECONDS: {{ include "cors-authz.drain-seconds" . | quote }}
CORS_AUTHZ_GRACE_SECONDS: {{ .Values.server.graceSeconds | quote }}
CORS_AUTHZ_LOG_LEVEL: {{ .Values.logging.level }}
CORS_AUTHZ_LOG_FORMAT: {{ .Values.logging.format }}
CORS_AUTHZ_METRICS_LISTEN: {{ .Values.metrics.enabled | ternary (printf "%s:%d" .Values.server.host (int .Values.metrics.port)) "off" | quote }}
{{- if .Values.tls.enabled }}
CORS_AUTHZ_TLS_CERT: /etc/cors-authz/tls/tls.crt
CORS_AUTHZ_TLS_KEY: /etc/cors-authz/tls/tls.key
{{- if .Values.tls.requireClientCertificate }}
CORS_AUTHZ_TLS_CLIENT_CA: /etc/cors-authz/tls/ca.crt
{{- end }}
{{- end }}
{{- with .Values.audit }}
{{- if .targets }}
CORS_AUTHZ_AUDIT: {{ join " " .targets | quote }}
CORS_AUTHZ_AUDIT_WHEN_FULL: {{ .whenFull }}
CORS_AUTHZ_AUDIT_SAMPLE_ALLOW: {{ .sampleAllow | quote }}
{{- if .required }}
CORS_AUTHZ_AUDIT_REQUIRED: "true"
{{- end }}
{{- with .reveal }}
CORS_AUTHZ_AUDIT_REVEAL: {{ join " " . | quote }}
{{- end }}
{{- if .keySecret }}
CORS_AUTHZ_AUDIT_KEY: /etc/cors-authz/audit/{{ .keySecretKey }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.otel }}
{{- if .endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ .protocol }}
{{- with .sampler }}
OTEL_TRACES_SAMPLER: {{ . }}
{{- end }}
{{- with .samplerArg }}
OTEL_TRACES_SAMPLER_ARG: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cors-authz.own-env" -}}
{{- range $name, $value := include "cors-authz.settings" . | fromYaml }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- if .Values.otel.endpoint }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .Release.Namespace }},k8s.pod.name=$(POD_NAME)
{{- with .Values.otel.headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: headers}}
{{- end }}
{{- end }}
{{- end -}}

{{/* The group of a pod that is not ours is unknown, so there everyone in it may read. */}}
{{- define "cors-authz.secret-mode" -}}
{{- eq .Values.mode "sidecar" | ternary "0444" "0440" -}}
{{- end -}}

{{/* Folders, never subPath: the kubelet swaps a folder's link when a ConfigMap changes, and a subPath stays as it was. */}}
{{- define "cors-authz.volumes" -}}
{{- $values := .Values -}}
- name: cors-authz-policy
  configMap:
    name: {{ include "cors-authz.policy-config-map" . | quote }}
{{- if or $values.jwks.existingConfigMap $values.jwks.existingSecret }}
- name: cors-authz-jwks
{{- if $values.jwks.existingConfigMap }}
  configMap: {name: {{ $values.jwks.existingConfigMap | quote }}}
{{- else }}
  secret: {secretName: {{ $values.jwks.existingSecret | quote }}, defaultMode: {{ include "cors-authz.secret-mode" . }}}
{{- end }}
{{- end }}
{{- if $values.tls.enabled }}
- name: cors-authz-tls
  secret: {secretName: {{ include "cors-authz.tls-secret" . | quote }}, defaultMode: {{ include "cors-authz.secret-mode" . }}}
{{- end }}
{{- with $values.audit.keySecret }}
- name: cors-authz-audit-key
  secret:
    secretName: {{ . | quote }}
    defaultMode: {{ include "cors-authz.secret-mode" $ }}
    items: [{key: {{ $values.audit.keySecretKey | quote }}, path: {{ $values.audit.keySecretKey | quote }}}]
{{- end }}
{{- if eq $values.mode "sidecar" }}
- name: cors-authz-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cors-authz.volume-mounts" -}}
{{- $values := .Values -}}
- {name: cors-authz-policy, mountPath: /etc/cors-authz/policy, readOnly: true}
{{- if or $values.jwks.existingConfigMap $values.jwks.existingSecret }}
- {name: cors-authz-jwks, mountPath: /etc/cors-authz/jwks, readOnly: true}
{{- end }}
{{- if $values.tls.enabled }}
- {name: cors-authz-tls, mountPath: /etc/cors-authz/tls, readOnly: true}
{{- end }}
{{- if $values.audit.keySecret }}
- {name: cors-authz-audit-key, mountPath: /etc/cors-authz/audit, readOnly: true}
{{- end }}
{{- if eq $values.mode "sidecar" }}
- {name: cors-authz-socket, mountPath: {{ $values.sidecar.socketFolder | quote }}}
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The n-th worker's ports, by name: `grpc`, `grpc-1`; `metrics`, `metrics-1`. */}}
{{- define "cors-authz.port-name" -}}
{{- $number := index . 1 -}}
{{- printf "%s%s" (index . 0) (eq (int $number) 0 | ternary "" (printf "-%d" (int $number))) -}}
{{- end -}}

{{- define "cors-authz.container-ports" -}}
{{- range $number := until (int .Values.workers) }}
{{- if ne $.Values.mode "sidecar" }}
- {name: {{ include "cors-authz.port-name" (list "grpc" $number) | quote }}, containerPort: {{ add $.Values.server.port $number }}, protocol: TCP}
{{- end }}
{{- if $.Values.metrics.enabled }}
- {name: {{ include "cors-authz.port-name" (list "metrics" $number) | quote }}, containerPort: {{ add $.Values.metrics.port $number }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end -}}

{{/* Without what was taken off: `--reuse-values` hands on a null as it is. */}}
{{- define "cors-authz.resources" -}}
{{- $resources := dict -}}
{{- range $kind, $amounts := .Values.resources -}}
{{- $left := dict -}}
{{- range $name, $amount := $amounts -}}
{{- if not (kindIs "invalid" $amount) }}{{ $_ := set $left $name $amount }}{{ end -}}
{{- end -}}
{{- $_ := set $resources $kind $left -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "cors-authz.container" -}}
- name: cors-authz
  image: {{ include "cors-authz.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.mode "sidecar" }}
  # A sidecar that Kubernetes knows: it starts before Envoy and ends after it.
  restartPolicy: Always
{{- end }}
  args: {{ concat (list "serve") (default list .Values.extraArgs) | toJson }}
  env: {{- include "cors-authz.own-env" . | trim | nindent 2 }}
{{- with .Values.extraEnv }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
  envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "cors-authz.container-ports" . }}
  ports: {{- . | trim | nindent 2 }}
{{- end }}
  startupProbe: {{- include "cors-authz.probe" (list . .Values.probes.startup) | nindent 4 }}
  livenessProbe: {{- include "cors-authz.probe" (list . .Values.probes.liveness) | nindent 4 }}
  readinessProbe: {{- include "cors-authz.probe" (list . .Values.probes.readiness) | nindent 4 }}
{{- if include "cors-authz.has-sleep" . }}
  lifecycle:
    preStop: {sleep: {seconds: {{ .Values.server.preStopSeconds }}}}
{{- end }}
  resources: {{- include "cors-authz.resources" . | nindent 4 }}
{{- $context := deepCopy .Values.securityContext }}
{{- if eq .Values.mode "sidecar" }}
{{- $owner := int64 .Values.sidecar.runAsUser }}
{{- $context = mergeOverwrite (dict "runAsGroup" $owner) $context (dict "runAsUser" $owner) }}
{{- end }}
  securityContext: {{- toYaml $context | nindent 4 }}
  volumeMounts: {{- include "cors-authz.volume-mounts" . | nindent 2 }}
{{- end -}}
