{{/* What the schema cannot say. Each define writes a line for each mistake; all are told at once. */}}

{{- define "cors-authz.mistakes" -}}
{{- include "cors-authz.mistakes-of-values" . }}
{{- include "cors-authz.mistakes-of-integrations" . }}
{{- include "cors-authz.mistakes-of-policy" . }}
{{- if .Values.clusterChecks }}
{{- include "cors-authz.mistakes-of-cluster" . }}
{{- end }}
{{- end -}}

{{- define "cors-authz.mistakes-of-values" -}}
{{- $values := .Values -}}
{{- $sidecar := eq $values.mode "sidecar" -}}
{{- if not $values.image.repository }}
image.repository: nothing is named; write where your registry has the image, which docs/image.md builds
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "cors-authz.fullname" .)) }}
fullnameOverride: `{{ include "cors-authz.fullname" . }}` cannot name a Service; write lower-case letters, digits and `-`, with a letter in front
{{- end }}
{{- if $values.policy.bundleUrl }}
policy.bundleUrl: signed bundles are not built yet; use policy.files or policy.existingConfigMap
{{- end }}
{{- if and $values.policy.files $values.policy.existingConfigMap }}
policy: files and existingConfigMap exclude each other; keep one
{{- else if not (or $values.policy.files $values.policy.existingConfigMap $values.policy.bundleUrl) }}
policy: there is none, and nothing would be allowed; use --set-file 'policy.files.policy\.yaml=FILE' or policy.existingConfigMap
{{- end }}
{{- if and $values.jwks.existingConfigMap $values.jwks.existingSecret }}
jwks: existingConfigMap and existingSecret exclude each other; keep one
{{- end }}
{{- if $sidecar }}{{ include "cors-authz.mistakes-of-sidecar" . }}{{ end -}}
{{- if and $values.metrics.serviceMonitor.enabled (not $values.metrics.enabled) }}
metrics.serviceMonitor.enabled: there are no metrics to scrape; set metrics.enabled
{{- end }}
{{- if and $values.tls.enabled (not (or $values.tls.existingSecret $values.tls.certManager.enabled)) }}
tls: there is no certificate; name tls.existingSecret, or use tls.certManager
{{- end }}
{{- if and $values.tls.certManager.enabled (not $values.tls.certManager.issuerRef) }}
tls.certManager.issuerRef: nothing is named; write {name: …, kind: Issuer}
{{- end }}
{{- if and $values.tls.certManager.enabled (not $values.tls.enabled) }}
tls.certManager.enabled: nothing is served by TLS; set tls.enabled
{{- end }}
{{- if and $values.autoscaling.enabled (ne $values.mode "deployment") }}
autoscaling.enabled: only mode deployment is scaled; leave it out in mode {{ $values.mode }}
{{- end }}
{{- if eq $values.updateStrategy.type (eq $values.mode "daemonset" | ternary "Recreate" "OnDelete") }}
updateStrategy.type: mode {{ $values.mode }} has no `{{ $values.updateStrategy.type }}`; write RollingUpdate
{{- end }}
{{- include "cors-authz.mistakes-of-rollout" . }}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) }}
autoscaling: minReplicas {{ $values.autoscaling.minReplicas }} is above maxReplicas {{ $values.autoscaling.maxReplicas }}
{{- end }}
{{- $grpc := int $values.server.port }}
{{- $metrics := int $values.metrics.port }}
{{- $workers := int $values.workers }}
{{- if and $values.metrics.enabled (not $sidecar) (lt $grpc (add $metrics $workers | int)) (lt $metrics (add $grpc $workers | int)) }}
metrics.port: the ports of {{ $workers }} workers from {{ $metrics }} on meet those from server.port {{ $grpc }} on; move one
{{- end }}
{{- if gt (add (max $grpc $metrics) $workers | int) 65536 }}
workers: {{ $workers }} workers need ports beyond 65535; choose lower ones
{{- end }}
{{- range $target := $values.audit.targets }}
{{- if hasPrefix "/" $target }}
{{- $mounted := false }}
{{- range $values.extraVolumeMounts }}{{ if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $target }}{{ $mounted = true }}{{ end }}{{ end }}
{{- if not $mounted }}
audit.targets: `{{ $target }}` lies on no volume, and the container's own files are read-only; mount one by extraVolumes and extraVolumeMounts
{{- end }}
{{- end }}
{{- end }}
{{- if and (has "otlp" $values.audit.targets) (not $values.otel.endpoint) }}
audit.targets: `otlp` needs otel.endpoint
{{- end }}
{{- if and (not $values.audit.targets) (or $values.audit.required $values.audit.reveal $values.audit.keySecret) }}
audit: nothing is recorded, so required, reveal and keySecret say nothing; name audit.targets
{{- end }}
{{- $set := include "cors-authz.own-env" . | fromYamlArray }}
{{- range $values.extraEnv }}
{{- $name := .name }}
{{- range $set }}{{ if eq .name $name }}
extraEnv: `{{ $name }}` is set by a value of its own; one of the two would be lost
{{- end }}{{ end }}
{{- end }}
{{- range $values.extraArgs }}
{{- if regexMatch "^--(policy|listen|workers|metrics-listen|tls-|drain-seconds|grace-seconds)" . }}
extraArgs: `{{ . }}` is set by a value of its own, on which probes, ports and waits depend
{{- end }}
{{- end }}
{{- $volumes := dict }}
{{- range include "cors-authz.volumes" . | fromYamlArray }}{{ $_ := set $volumes .name true }}{{ end }}
{{- range $number, $mount := $values.extraVolumeMounts }}
{{- if not (hasKey $volumes .name) }}
extraVolumeMounts[{{ $number }}].name: there is no volume `{{ .name }}`; add it to extraVolumes, or write one of: {{ keys $volumes | sortAlpha | join ", " }}
{{- end }}
{{- if and .subPath (hasPrefix "/etc/cors-authz" .mountPath) }}
extraVolumeMounts: `{{ .mountPath }}` by subPath would never change; mount the folder
{{- end }}
{{- end }}
{{- end -}}

{{/* What a container in a pod of another's has no place for. */}}
{{- define "cors-authz.mistakes-of-sidecar" -}}
{{- if .Values.tls.enabled }}
tls.enabled: a unix socket needs no TLS; leave it out in mode sidecar
{{- end }}
{{- if .Values.metrics.serviceMonitor.enabled }}
metrics.serviceMonitor.enabled: mode sidecar has no Service to find the pods by; scrape those of your Deployment at metrics.port, by a PodMonitor of yours
{{- end }}
{{- range pick .Values "initContainers" "extraContainers" | keys | sortAlpha }}
{{- if get $.Values . }}
{{ . }}: mode sidecar has no pod of its own, and they would not run; write them into your Deployment
{{- end }}
{{- end }}
{{- end -}}

{{/* A rollout that may neither add a pod nor miss one never begins; of a DaemonSet it does one of the two. */}}
{{- define "cors-authz.mistakes-of-rollout" -}}
{{- $daemon := eq .Values.mode "daemonset" -}}
{{- $rollout := include "cors-authz.joined" (list .Values.updateStrategy.rollingUpdate) | fromYaml -}}
{{- $surges := not (has (get $rollout "maxSurge" | toString) (list "0" "0%" ($daemon | ternary "" "0"))) -}}
{{- $misses := not (has (get $rollout "maxUnavailable" | toString) (list "0" "0%")) -}}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") (not (or $surges $misses)) }}
updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced; raise maxSurge
{{- end }}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") $daemon $surges $misses }}
updateStrategy.rollingUpdate: a DaemonSet takes maxSurge or maxUnavailable, and both are above 0; set maxUnavailable to 0
{{- end }}
{{- end -}}
