{{/* What the schema cannot say. Each define writes a line for each mistake; all are told at once. */}}

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
{{- if and $values.tls.enabled $sidecar }}
tls.enabled: a unix socket needs no TLS; leave it out in mode sidecar
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

{{/* A rollout that may neither add a pod nor miss one never begins; of a DaemonSet it does one of the two. */}}
{{- define "cors-authz.mistakes-of-rollout" -}}
{{- $daemon := eq .Values.mode "daemonset" -}}
{{- $rollout := default dict .Values.updateStrategy.rollingUpdate -}}
{{- $surges := not (has (get $rollout "maxSurge" | toString) (list "0" "0%" ($daemon | ternary "" "0"))) -}}
{{- $misses := not (has (get $rollout "maxUnavailable" | toString) (list "0" "0%")) -}}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") (not (or $surges $misses)) }}
updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced; raise maxSurge
{{- end }}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") $daemon $surges $misses }}
updateStrategy.rollingUpdate: a DaemonSet takes maxSurge or maxUnavailable, and both are above 0; set maxUnavailable to 0
{{- end }}
{{- end -}}

{{/* dict at rules: hosts that a request with a port would not match, so that it would pass unasked. */}}
{{- define "cors-authz.mistakes-of-rules" -}}
{{- $at := .at -}}
{{- range $number, $rule := .rules -}}
{{- range $place, $to := $rule.to -}}
{{- range $host := (default dict $to.operation).hosts -}}
{{- if or (regexMatch ":[0-9]+$" $host) (and (hasPrefix "*" $host) (ne $host "*")) }}
{{ $at }}.rules[{{ $number }}].to[{{ $place }}].operation.hosts: `{{ $host }}` leaves out requests that name another port, which would pass unasked; write whole hosts without a port, or leave rules out and let the policy say what each host may do
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cors-authz.mistakes-of-integrations" -}}
{{- $values := .Values -}}
{{- $istio := $values.integrations.istio -}}
{{- $gateway := $values.integrations.envoyGateway -}}
{{- $api := $values.integrations.gatewayApi -}}
{{- if and (eq $values.mode "sidecar") (or $istio.enabled $gateway.enabled $api.enabled) }}
integrations: mode sidecar serves the Envoy beside it alone; use mode deployment or daemonset
{{- end }}
{{- if $istio.enabled }}
{{- if gt (int $values.workers) 1 }}
workers: Istio's provider names one port, so further workers would never be asked; set workers to 1 and raise replicaCount
{{- end }}
{{- if not $istio.attachments }}
integrations.istio.attachments: nothing is attached; name a namespace with a selector or targetRefs
{{- end }}
{{- if and $values.tls.enabled (not $istio.tls) }}
integrations.istio.tls: the service serves by TLS, and Envoy would not speak it; write {mode: SIMPLE, credentialName: …}
{{- end }}
{{- $names := dict }}
{{- $namespaces := dict }}
{{- range $number, $attachment := $istio.attachments }}
{{- $at := printf "integrations.istio.attachments[%d]" $number }}
{{- if and .selector .targetRefs }}
{{ $at }}: selector and targetRefs exclude each other; keep one
{{- end }}
{{- if and (eq .namespace $.Release.Namespace) (not .selector) (not .targetRefs) }}
{{ $at }}: the whole of `{{ .namespace }}` holds the service too, which would ask itself; add a selector
{{- end }}
{{- include "cors-authz.mistakes-of-rules" (dict "at" $at "rules" .rules) }}
{{- if hasKey $names .name }}
{{ $at }}: `{{ .name }}` is a name twice; choose another
{{- end }}
{{- $_ := set $names .name true }}
{{- $selects := or .selector .targetRefs | empty | not }}
{{- if and (hasKey $namespaces .namespace) (not (and $selects (get $namespaces .namespace))) }}
{{ $at }}: `{{ .namespace }}` has an attachment of all its workloads, so another would patch some twice; give both a selector
{{- end }}
{{- $_ := set $namespaces .namespace $selects }}
{{- end }}
{{- end }}
{{- if $gateway.enabled }}
{{- if not $gateway.targetRefs }}
integrations.envoyGateway.targetRefs: nothing is attached; name a Gateway or an HTTPRoute
{{- end }}
{{- if and $values.tls.enabled (not $gateway.caCertificateRefs) }}
integrations.envoyGateway.caCertificateRefs: the service serves by TLS, and Envoy would not trust it; name a ConfigMap with ca.crt
{{- end }}
{{- if and $values.tls.enabled $values.tls.requireClientCertificate }}
tls.requireClientCertificate: a BackendTLSPolicy names no certificate of Envoy's own; set it in the EnvoyProxy (`backendTLS`), and this to false until then
{{- end }}
{{- if and $gateway.patch.enabled (not (and $gateway.patch.gateway $gateway.patch.listeners)) }}
integrations.envoyGateway.patch: name the gateway and its listeners
{{- end }}
{{- end }}
{{- if $api.enabled }}
{{- if not $api.routes }}
integrations.gatewayApi.routes: there are none
{{- end }}
{{- if and $api.externalAuth (or $gateway.enabled (gt (int $values.workers) 1)) }}
integrations.gatewayApi.externalAuth: {{ $gateway.enabled | ternary "integrations.envoyGateway attaches already, and each request would be checked twice" "the filter names one port, so further workers would never be asked; set workers to 1" }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Cookies and certificates travel by themselves, so a group of every origin must never be granted them. What else is wrong
with a policy, `cors-authz check` says; here a shape that no policy has is passed over.
*/}}
{{- define "cors-authz.mistakes-of-policy" -}}
{{- $types := .Files.Get "files/policy-fields.json" | fromJson -}}
{{- $every := dict -}}
{{- $strips := include "cors-authz.stripping" . -}}
{{- $documents := list -}}
{{- range $name, $file := .Values.policy.files -}}
{{- $texts := kindIs "string" $file | ternary (regexSplit "(?m)^---.*$" (toString $file) -1) (list (toYaml $file)) -}}
{{- range $text := $texts -}}
{{- $content := fromYaml $text -}}
{{- if hasKey $content "Error" }}
policy.files.{{ $name }}: this is no YAML: {{ $content.Error | replace "\n" " " }}
{{- else -}}
{{- $documents = append $documents (dict "name" $name "content" $content) -}}
{{- if hasKey (get $types (toString $content.kind) | default dict) "kind" -}}
{{- include "cors-authz.unknown-fields" (list $types $name "" $content.kind $content) }}
{{- else if $content }}
policy.files.{{ $name }}: kind: {{ with $content.kind }}`{{ . }}` is none{{ else }}there is none{{ end }}; write PolicyBundle, PolicyPart or TenantOverlay
{{- end -}}
{{- if $strips }}{{ include "cors-authz.shadows" (dict "at" (printf "policy.files.%s" $name) "content" $content "strips" $strips) }}{{ end -}}
{{- range $group, $spec := include "cors-authz.maps-of" $content.originGroups | fromYaml -}}
{{- $star := and (kindIs "slice" $spec.origins) (has "*" (default list $spec.origins)) -}}
{{- if or $spec.any $star }}{{ $_ := set $every $group true }}{{ end -}}
{{- if $star }}
policy.files.{{ $name }}: originGroups.{{ $group }}.origins: `*` is no origin; write {any: true} for every origin, which then gets no cookies
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $document := $documents -}}
{{- range $group, $spec := include "cors-authz.maps-of" $document.content.resourceGroups | fromYaml -}}
{{- range $number, $rule := kindIs "slice" $spec.allow | ternary $spec.allow list -}}
{{- if and (kindIs "map" $rule) (kindIs "slice" $rule.origins) (kindIs "slice" $rule.credentials) -}}
{{- range $origin := $rule.origins -}}
{{- range $credential := $rule.credentials -}}
{{- if and (hasKey $every (toString $origin)) (has $credential (list "cookie" "mtls")) }}
policy.files.{{ $document.name }}: resourceGroups.{{ $group }}.allow[{{ $number }}]: `{{ $origin }}` is every origin, and with credentials [{{ $credential }}] any site could act as the user; list the origins (CX001)
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The enabled integrations that take off what upstreams say of CORS. */}}
{{- define "cors-authz.stripping" -}}
{{- $integrations := .Values.integrations -}}
{{- $names := list -}}
{{- if and $integrations.istio.enabled $integrations.istio.envoyFilter.enabled -}}
{{- range $integrations.istio.attachments -}}
{{- if include "cors-authz.istio-strips" (dict "root" $ "attachment" .) }}{{ $names = append $names "integrations.istio" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $integrations.envoyGateway.enabled $integrations.envoyGateway.patch.enabled (include "cors-authz.envoy-gateway-strips" .) -}}
{{- $names = append $names "integrations.envoyGateway" -}}
{{- end -}}
{{- if and $integrations.gatewayApi.enabled $integrations.stripUpstreamHeaders -}}
{{- $names = append $names "integrations.gatewayApi" -}}
{{- end -}}
{{- uniq $names | join ", " -}}
{{- end -}}

{{/*
dict at content strips: a line for each part of a document that is in shadow. There the service grants nothing, so that a
page which works by what its upstream says would stop.
*/}}
{{- define "cors-authz.shadows" -}}
{{- $paths := list -}}
{{- range $path, $spec := include "cors-authz.maps-of" (dict "defaults" .content.defaults) | fromYaml -}}
{{- if eq (toString $spec.mode) "shadow" }}{{ $paths = append $paths "defaults.mode" }}{{ end -}}
{{- end -}}
{{- range $group, $spec := include "cors-authz.maps-of" .content.resourceGroups | fromYaml -}}
{{- if eq (toString $spec.mode) "shadow" }}{{ $paths = append $paths (printf "resourceGroups.%s.mode" $group) }}{{ end -}}
{{- end -}}
{{- range $paths }}
{{ $.at }}: {{ . }}: shadow changes no answer, but {{ $.strips }} would take off what upstreams grant themselves, and pages that work today would break; set integrations.stripUpstreamHeaders=false until the policy is in force
{{- end -}}
{{- end -}}

{{/*
list types file path type value: a line for each field that its type does not have. A policy that is a text is beyond the
schema of values.
*/}}
{{- define "cors-authz.unknown-fields" -}}
{{- $types := index . 0 -}}
{{- $file := index . 1 -}}
{{- $path := index . 2 -}}
{{- $type := trimSuffix "{}" (index . 3) -}}
{{- $is_named := ne $type (index . 3) -}}
{{- $value := index . 4 -}}
{{- if kindIs "slice" $value -}}
{{- range $number, $each := $value }}{{ include "cors-authz.unknown-fields" (list $types $file (printf "%s[%d]" $path $number) $type $each) }}{{ end -}}
{{- else if kindIs "map" $value -}}
{{- range $key, $each := $value -}}
{{- $at := printf "%s.%s" $path $key | trimPrefix "." -}}
{{- $leads := $is_named | ternary $type (get (index $types $type) $key) -}}
{{- if $leads -}}
{{- include "cors-authz.unknown-fields" (list $types $file $at $leads $each) -}}
{{- else if not (hasKey (index $types $type) $key) }}
policy.files.{{ $file }}: {{ $at }}: there is no such field; write one of: {{ keys (index $types $type) | sortAlpha | join ", " }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Those entries of a mapping that are mappings; none of anything else. */}}
{{- define "cors-authz.maps-of" -}}
{{- $maps := dict -}}
{{- if kindIs "map" . -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value }}{{ $_ := set $maps $key $value }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $maps -}}
{{- end -}}

{{/* list $ kind apiVersion why: a line, where the cluster has no such resource. */}}
{{- define "cors-authz.missing-kind" -}}
{{- $root := index . 0 -}}
{{- if not ($root.Capabilities.APIVersions.Has (printf "%s/%s" (index . 2) (index . 1))) }}
{{ index . 3 }}: the cluster knows no {{ index . 1 }} of {{ index . 2 }}; install its CRDs first, or, where templates are rendered without a cluster, add `--api-versions {{ index . 2 }}/{{ index . 1 }}` or set clusterChecks to false
{{- end -}}
{{- end -}}

{{- define "cors-authz.mistakes-of-cluster" -}}
{{- $values := .Values -}}
{{- $integrations := $values.integrations -}}
{{- if and $values.tls.enabled $values.tls.certManager.enabled }}
{{- include "cors-authz.missing-kind" (list . "Certificate" "cert-manager.io/v1" "tls.certManager") }}
{{- end }}
{{- if and $values.metrics.enabled $values.metrics.serviceMonitor.enabled }}
{{- include "cors-authz.missing-kind" (list . "ServiceMonitor" "monitoring.coreos.com/v1" "metrics.serviceMonitor") }}
{{- end }}
{{- if $values.metrics.prometheusRule.enabled }}
{{- include "cors-authz.missing-kind" (list . "PrometheusRule" "monitoring.coreos.com/v1" "metrics.prometheusRule") }}
{{- end }}
{{- if $integrations.istio.enabled }}
{{- include "cors-authz.missing-kind" (list . "AuthorizationPolicy" "security.istio.io/v1" "integrations.istio") }}
{{- if $integrations.istio.envoyFilter.enabled }}
{{- include "cors-authz.missing-kind" (list . "EnvoyFilter" "networking.istio.io/v1alpha3" "integrations.istio.envoyFilter") }}
{{- end }}
{{- if $integrations.istio.tls }}
{{- include "cors-authz.missing-kind" (list . "DestinationRule" "networking.istio.io/v1" "integrations.istio.tls") }}
{{- end }}
{{- include "cors-authz.missing-provider" . }}
{{- end }}
{{- if $integrations.envoyGateway.enabled }}
{{- include "cors-authz.missing-kind" (list . "SecurityPolicy" "gateway.envoyproxy.io/v1alpha1" "integrations.envoyGateway") }}
{{- include "cors-authz.missing-targets" . }}
{{- if $integrations.envoyGateway.patch.enabled }}
{{- include "cors-authz.missing-kind" (list . "EnvoyPatchPolicy" "gateway.envoyproxy.io/v1alpha1" "integrations.envoyGateway.patch") }}
{{- end }}
{{- if $values.tls.enabled }}
{{- include "cors-authz.missing-kind" (list . "BackendTLSPolicy" "gateway.networking.k8s.io/v1" "integrations.envoyGateway.caCertificateRefs") }}
{{- end }}
{{- end }}
{{- if $integrations.gatewayApi.enabled }}
{{- include "cors-authz.missing-kind" (list . "HTTPRoute" "gateway.networking.k8s.io/v1" "integrations.gatewayApi") }}
{{- end }}
{{- include "cors-authz.missing-namespaces" . }}
{{- include "cors-authz.missing-references" . }}
{{- end -}}

{{/* An unknown provider refuses every request; one of another service answers for ours. */}}
{{- define "cors-authz.missing-provider" -}}
{{- with .Values.integrations.istio.meshConfigMap -}}
{{- $found := include "cors-authz.mesh-config-map" $ | fromYaml -}}
{{- if $found -}}
{{- $provider := include "cors-authz.provider" $ -}}
{{- $known := false -}}
{{- range (fromYaml (default "{}" (default dict $found.data).mesh)).extensionProviders -}}
{{- if eq (toString .name) $provider -}}
{{- $known = true -}}
{{- with include "cors-authz.differences-of-provider" (list $ .) | fromYamlArray }}
integrations.istio: the mesh's provider `{{ $provider }}` is not this release's: {{ join "; " . }}; where it is another's, choose a name by integrations.istio.provider; the lines to have in meshConfig:
{{ include "cors-authz.mesh-config" $ | indent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $known }}
integrations.istio: the mesh knows no provider `{{ $provider }}`, and would refuse every request; first put these lines into meshConfig (docs/kubernetes.md says how), or name it by integrations.istio.provider:
{{ include "cors-authz.mesh-config" $ | indent 2 }}
{{- end -}}
{{- else if include "cors-authz.has-cluster" $ }}
integrations.istio.meshConfigMap: there is no ConfigMap `{{ . }}`, so nothing tells whether the mesh knows the provider, and one that it does not know refuses every request; name your istiod's, which is `istio-system/istio-REVISION` where it has a revision, or set it to nothing if you know
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap with Istio's meshConfig, as far as the cluster may be asked for it and has it. */}}
{{- define "cors-authz.mesh-config-map" -}}
{{- $place := splitList "/" .Values.integrations.istio.meshConfigMap -}}
{{- if and .Values.clusterChecks (eq (len $place) 2) -}}
{{- lookup "v1" "ConfigMap" (index $place 0) (index $place 1) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* list $ provider: in what a provider of the mesh is not the one to have. Istio reads names in snake_case too, and a host after its namespace. */}}
{{- define "cors-authz.differences-of-provider" -}}
{{- $root := index . 0 -}}
{{- $grpc := or (index . 1).envoyExtAuthzGrpc (index . 1).envoy_ext_authz_grpc -}}
{{- $host := include "cors-authz.host" $root -}}
{{- $differences := list -}}
{{- if not $grpc -}}
{{- $differences = append $differences "it is no envoyExtAuthzGrpc" -}}
{{- else -}}
{{- $service := toString $grpc.service | trimPrefix (printf "%s/" $root.Release.Namespace) -}}
{{- if ne $service $host }}{{ $differences = append $differences (printf "service is `%s`, not `%s`" $service $host) }}{{ end -}}
{{- if ne (int $grpc.port) (int $root.Values.server.port) }}{{ $differences = append $differences (printf "port is %d, not %d" (int $grpc.port) (int $root.Values.server.port)) }}{{ end -}}
{{- if or $grpc.failOpen $grpc.fail_open }}{{ $differences = append $differences "failOpen lets requests pass without an answer" }}{{ end -}}
{{- if not $grpc.timeout }}{{ $differences = append $differences "there is no timeout, and Istio's own is 600 s" }}{{ end -}}
{{- end -}}
{{- toYaml $differences -}}
{{- end -}}

{{/*
Whether there is a cluster: without one, lookup finds nothing at all. The release's own namespace, which its admin may
read, may be yet to be made; every cluster has `default`. Asked only once something is missing, so that who may not read
namespaces is stopped by nothing but that.
*/}}
{{- define "cors-authz.has-cluster" -}}
{{- if or (lookup "v1" "Namespace" "" .Release.Namespace) (lookup "v1" "Namespace" "" "default") -}}
true
{{- end -}}
{{- end -}}

{{/* list $ path namespace: a line, where a namespace other than the release's is not there: only that one helm can make. */}}
{{- define "cors-authz.missing-namespace" -}}
{{- $root := index . 0 -}}
{{- $namespace := index . 2 -}}
{{- if and $namespace (ne $namespace $root.Release.Namespace) (not (lookup "v1" "Namespace" "" $namespace)) (include "cors-authz.has-cluster" $root) }}
{{ index . 1 }}: there is no namespace `{{ $namespace }}`; name another, or make it first:
  kubectl create namespace {{ $namespace }}
{{- end -}}
{{- end -}}

{{- define "cors-authz.missing-namespaces" -}}
{{- $integrations := .Values.integrations -}}
{{- $metrics := .Values.metrics -}}
{{- range $name, $object := pick $metrics "serviceMonitor" "prometheusRule" "dashboards" -}}
{{- if $object.enabled }}{{ include "cors-authz.missing-namespace" (list $ (printf "metrics.%s.namespace" $name) $object.namespace) }}{{ end -}}
{{- end -}}
{{- range $name, $object := pick $integrations "envoyGateway" "gatewayApi" -}}
{{- if $object.enabled }}{{ include "cors-authz.missing-namespace" (list $ (printf "integrations.%s.namespace" $name) $object.namespace) }}{{ end -}}
{{- end -}}
{{- if $integrations.istio.enabled -}}
{{- range $number, $attachment := $integrations.istio.attachments -}}
{{- include "cors-authz.missing-namespace" (list $ (printf "integrations.istio.attachments[%d].namespace" $number) $attachment.namespace) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What Envoy Gateway attaches to must be there: nothing tells of a SecurityPolicy without a target, and all would pass unasked. */}}
{{- define "cors-authz.missing-targets" -}}
{{- $gateway := .Values.integrations.envoyGateway -}}
{{- range $number, $target := $gateway.targetRefs -}}
{{- include "cors-authz.missing-target" (list $ (printf "integrations.envoyGateway.targetRefs[%d]" $number) $target) }}
{{- end -}}
{{- if and $gateway.patch.enabled $gateway.patch.gateway -}}
{{- range $number, $listener := $gateway.patch.listeners -}}
{{- $target := dict "kind" "Gateway" "name" $gateway.patch.gateway "sectionName" .name -}}
{{- include "cors-authz.missing-target" (list $ (printf "integrations.envoyGateway.patch.listeners[%d]" $number) $target) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* list $ path target: a line, where the target is not there, or is a Gateway without that listener. */}}
{{- define "cors-authz.missing-target" -}}
{{- $root := index . 0 -}}
{{- $target := index . 2 -}}
{{- $namespace := default $root.Release.Namespace $root.Values.integrations.envoyGateway.namespace -}}
{{- $version := "gateway.networking.k8s.io/v1" -}}
{{- if $root.Capabilities.APIVersions.Has (printf "%s/%s" $version $target.kind) -}}
{{- $found := lookup $version $target.kind $namespace $target.name -}}
{{- if $found -}}
{{- $names := list -}}
{{- if eq $target.kind "Gateway" }}{{ range $found.spec.listeners }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- if and (eq $target.kind "Gateway") $target.sectionName (not (has $target.sectionName $names)) }}
{{ index . 1 }}: the Gateway `{{ $target.name }}` in namespace `{{ $namespace }}` has no listener `{{ $target.sectionName }}`; write one of: {{ join ", " $names }}
{{- end -}}
{{- else if include "cors-authz.has-cluster" $root }}
{{ index . 1 }}: there is no {{ $target.kind }} `{{ $target.name }}` in namespace `{{ $namespace }}`, so nothing would be attached; name one that is there, and its namespace by integrations.envoyGateway.namespace
{{- end -}}
{{- else }}
{{- include "cors-authz.missing-kind" (list $root $target.kind $version (index . 1)) }}
{{- end -}}
{{- end -}}

{{/* list $ path kind name keys: a line, where what a value names is not there, or lacks keys. */}}
{{- define "cors-authz.missing-reference" -}}
{{- $root := index . 0 -}}
{{- $name := index . 3 -}}
{{- $keys := index . 4 -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $found := lookup "v1" (index . 2) $namespace $name -}}
{{- if $found -}}
{{- range $keys -}}
{{- if not (hasKey (default dict $found.data) .) }}
{{ index $ 1 }}: the {{ index $ 2 }} `{{ $name }}` in namespace `{{ $namespace }}` has no `{{ . }}`; add it
{{- end -}}
{{- end -}}
{{- else if include "cors-authz.has-cluster" $root -}}
{{- $files := list "--from-file=FOLDER" -}}
{{- if $keys }}{{ $files = list }}{{ range $keys }}{{ $files = append $files (printf "--from-file=%s=FILE" .) }}{{ end }}{{ end }}
{{ index . 1 }}: there is no {{ index . 2 }} `{{ $name }}` in namespace `{{ $namespace }}`; make it first:
{{- if not (lookup "v1" "Namespace" "" $namespace) }}
  kubectl create namespace {{ $namespace }}
{{- end }}
  kubectl --namespace {{ $namespace }} create {{ eq (index . 2) "Secret" | ternary "secret generic" "configmap" }} {{ $name }} {{ join " " $files }}
{{- end -}}
{{- end -}}

{{- define "cors-authz.missing-references" -}}
{{- $values := .Values -}}
{{- $names := list
  (list . "policy.existingConfigMap" "ConfigMap" $values.policy.existingConfigMap list)
  (list . "jwks.existingConfigMap" "ConfigMap" $values.jwks.existingConfigMap list)
  (list . "jwks.existingSecret" "Secret" $values.jwks.existingSecret list)
  (list . "audit.keySecret" "Secret" $values.audit.keySecret (list $values.audit.keySecretKey))
  (list . "otel.headersSecret" "Secret" $values.otel.headersSecret (list "headers"))
-}}
{{- if and $values.tls.enabled (not $values.tls.certManager.enabled) -}}
{{- $names = append $names (list . "tls.existingSecret" "Secret" $values.tls.existingSecret (list "tls.crt" "tls.key" "ca.crt")) -}}
{{- end -}}
{{- range $names -}}
{{- if index . 3 }}{{ include "cors-authz.missing-reference" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "cors-authz.mistakes" -}}
{{- include "cors-authz.mistakes-of-values" . }}
{{- include "cors-authz.mistakes-of-integrations" . }}
{{- include "cors-authz.mistakes-of-policy" . }}
{{- if .Values.clusterChecks }}
{{- include "cors-authz.mistakes-of-cluster" . }}
{{- end }}
{{- end -}}
