{{/* What the cluster lacks, as far as it may be asked. */}}

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
{{- include "cors-authz.missing-targets-of-istio" . }}
{{- end }}
{{- if $integrations.envoyGateway.enabled }}
{{- include "cors-authz.missing-kind" (list . "SecurityPolicy" "gateway.envoyproxy.io/v1alpha1" "integrations.envoyGateway") }}
{{- include "cors-authz.missing-targets-of-envoy-gateway" . }}
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

{{/* list $ kind apiVersion why: a line, where the cluster has no such resource. */}}
{{- define "cors-authz.missing-kind" -}}
{{- $root := index . 0 -}}
{{- if not ($root.Capabilities.APIVersions.Has (printf "%s/%s" (index . 2) (index . 1))) }}
{{ index . 3 }}: the cluster knows no {{ index . 1 }} of {{ index . 2 }}; install its CRDs first, or, where templates are rendered without a cluster, add `--api-versions {{ index . 2 }}/{{ index . 1 }}` or set clusterChecks to false
{{- end -}}
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

{{/* list $ path namespace: a line, where a namespace other than the release's is not there: only that one helm can make. */}}
{{- define "cors-authz.missing-namespace" -}}
{{- $root := index . 0 -}}
{{- $namespace := index . 2 -}}
{{- if and $namespace (ne $namespace $root.Release.Namespace) (not (lookup "v1" "Namespace" "" $namespace)) (include "cors-authz.has-cluster" $root) }}
{{ index . 1 }}: there is no namespace `{{ $namespace }}`; name another, or make it first:
  kubectl create namespace {{ $namespace }}
{{- end -}}
{{- end -}}

{{/* What is attached to must be there: nothing tells of a policy without its target, and all would pass unasked. */}}
{{- define "cors-authz.missing-targets-of-istio" -}}
{{- $version := "gateway.networking.k8s.io/v1" -}}
{{- $versions := dict "Gateway" $version "GatewayClass" $version "Service" "v1" "ServiceEntry" "networking.istio.io/v1" -}}
{{- range $number, $attachment := .Values.integrations.istio.attachments -}}
{{- $at := printf "integrations.istio.attachments[%d]" $number -}}
{{- range $place, $target := .targetRefs -}}
{{- $namespace := eq .kind "GatewayClass" | ternary "" $attachment.namespace -}}
{{- $where := dict "path" (printf "%s.targetRefs[%d]" $at $place) "namespace" $namespace "setBy" (printf "%s.namespace" $at) -}}
{{- include "cors-authz.missing-target" (merge (dict "root" $ "version" (get $versions .kind) "target" .) $where) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The same of Envoy Gateway. Routes that the chart makes itself may be yet to come. */}}
{{- define "cors-authz.missing-targets-of-envoy-gateway" -}}
{{- $gateway := .Values.integrations.envoyGateway -}}
{{- $namespace := default .Release.Namespace $gateway.namespace -}}
{{- $made := list -}}
{{- $api := .Values.integrations.gatewayApi -}}
{{- if and $api.enabled (eq $namespace (default .Release.Namespace $api.namespace)) -}}
{{- range $api.routes }}{{ $made = append $made .name }}{{ end -}}
{{- end -}}
{{- $common := dict "root" . "version" "gateway.networking.k8s.io/v1" "namespace" $namespace "setBy" "integrations.envoyGateway.namespace" -}}
{{- range $number, $target := $gateway.targetRefs -}}
{{- $where := dict "path" (printf "integrations.envoyGateway.targetRefs[%d]" $number) "target" . -}}
{{- if not (and (eq .kind "HTTPRoute") (has .name $made)) }}{{ include "cors-authz.missing-target" (merge $where $common) }}{{ end -}}
{{- end -}}
{{- if and $gateway.patch.enabled $gateway.patch.gateway -}}
{{- range $number, $listener := $gateway.patch.listeners -}}
{{- $target := dict "kind" "Gateway" "name" $gateway.patch.gateway "sectionName" .name -}}
{{- $where := dict "path" (printf "integrations.envoyGateway.patch.listeners[%d]" $number) "target" $target -}}
{{- include "cors-authz.missing-target" (merge $where $common) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
dict root path version target namespace setBy: a line, where the target is not there, or is a Gateway without that
listener. A target without a namespace is the cluster's.
*/}}
{{- define "cors-authz.missing-target" -}}
{{- $target := .target -}}
{{- $place := empty .namespace | ternary "" (printf " in namespace `%s`" .namespace) -}}
{{- if or (eq .version "v1") (.root.Capabilities.APIVersions.Has (printf "%s/%s" .version $target.kind)) -}}
{{- $found := lookup .version $target.kind .namespace $target.name -}}
{{- if $found -}}
{{- $names := list -}}
{{- if eq $target.kind "Gateway" }}{{ range $found.spec.listeners }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- if and (eq $target.kind "Gateway") $target.sectionName (not (has $target.sectionName $names)) }}
{{ .path }}: the Gateway `{{ $target.name }}`{{ $place }} has no listener `{{ $target.sectionName }}`; write one of: {{ join ", " $names }}
{{- end -}}
{{- else if include "cors-authz.has-cluster" .root }}
{{ .path }}: there is no {{ $target.kind }} `{{ $target.name }}`{{ $place }}, so nothing would be attached; name one that is there{{ if .namespace }}, and its namespace by {{ .setBy }}{{ end }}
{{- end -}}
{{- else }}
{{- include "cors-authz.missing-kind" (list .root $target.kind .version .path) }}
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
