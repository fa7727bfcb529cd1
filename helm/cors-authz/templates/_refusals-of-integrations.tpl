{{/* What of the attachments cannot work, or would let requests pass unasked. */}}

{{- define "cors-authz.mistakes-of-integrations" -}}
{{- $integrations := .Values.integrations -}}
{{- if and (eq .Values.mode "sidecar") (or $integrations.istio.enabled $integrations.envoyGateway.enabled $integrations.gatewayApi.enabled) }}
integrations: mode sidecar serves the Envoy beside it alone; use mode deployment or daemonset
{{- end }}
{{- if $integrations.istio.enabled }}{{ include "cors-authz.mistakes-of-istio" . }}{{ end -}}
{{- if $integrations.envoyGateway.enabled }}{{ include "cors-authz.mistakes-of-envoy-gateway" . }}{{ end -}}
{{- if $integrations.gatewayApi.enabled }}{{ include "cors-authz.mistakes-of-gateway-api" . }}{{ end -}}
{{- end -}}

{{- define "cors-authz.mistakes-of-istio" -}}
{{- $istio := .Values.integrations.istio -}}
{{- if gt (int .Values.workers) 1 }}
workers: Istio's provider names one port, so further workers would never be asked; set workers to 1 and raise replicaCount
{{- end }}
{{- if not $istio.attachments }}
integrations.istio.attachments: nothing is attached; name a namespace with a selector or targetRefs
{{- end }}
{{- include "cors-authz.mistakes-of-istio-tls" . }}
{{- $names := dict }}
{{- $rootNamespace := include "cors-authz.root-namespace" . }}
{{- range $number, $attachment := $istio.attachments }}
{{- $at := printf "integrations.istio.attachments[%d]" $number }}
{{- $here := dict "root" $ "at" $at "attachment" . "rootNamespace" $rootNamespace }}
{{- include "cors-authz.mistakes-of-workloads" $here }}
{{- include "cors-authz.mistakes-of-target-refs" $here }}
{{- include "cors-authz.mistakes-of-rules" (dict "at" $at "rules" .rules) }}
{{- if hasKey $names .name }}
{{ $at }}: `{{ .name }}` is a name twice; choose another
{{- end }}
{{- $_ := set $names .name true }}
{{- range $before, $other := slice $istio.attachments 0 $number }}
{{- if include "cors-authz.meets" (merge (dict "other" $other) $here) }}
{{ $at }}: attachments[{{ $before }}] has its workloads too, and both would patch them; name them in one attachment, with the rules of both
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cors-authz.mistakes-of-istio-tls" -}}
{{- $tls := .Values.tls -}}
{{- $istio := .Values.integrations.istio -}}
{{- $asks := default dict $istio.tls -}}
{{- $mode := toString $asks.mode -}}
{{- if and $tls.enabled (not $istio.tls) }}
integrations.istio.tls: the service serves by TLS, and Envoy would not speak it; write {mode: SIMPLE, credentialName: …}
{{- end }}
{{- if and $istio.tls (not $tls.enabled) (ne $mode "ISTIO_MUTUAL") }}
integrations.istio.tls: Envoy would speak TLS to a service that serves none; set tls.enabled, or leave this out
{{- end }}
{{- if and $tls.enabled (eq $mode "ISTIO_MUTUAL") }}
integrations.istio.tls.mode: ISTIO_MUTUAL ends at the sidecar of the service's pod, and the service then expects TLS of its own; write SIMPLE or MUTUAL, or set tls.enabled to false
{{- end }}
{{- if and $tls.enabled $tls.requireClientCertificate (eq $mode "SIMPLE") }}
integrations.istio.tls.mode: by SIMPLE Envoy shows no certificate, and tls.requireClientCertificate demands one; write MUTUAL
{{- end }}
{{- range $number, $attachment := $istio.attachments }}
{{- if and $istio.tls $asks.credentialName (eq (toString .context) "SIDECAR_INBOUND") }}
integrations.istio.attachments[{{ $number }}]: a sidecar does not heed integrations.istio.tls.credentialName, and would speak no TLS; write caCertificates, a file in the sidecar
{{- end }}
{{- end }}
{{- end -}}

{{/* dict root at attachment rootNamespace: by labels, or by none, the service's own pods would ask the service. */}}
{{- define "cors-authz.mistakes-of-workloads" -}}
{{- $namespace := .attachment.namespace -}}
{{- $own := include "cors-authz.labels" (list .root "authorization" .root.Values.podLabels) | fromYaml -}}
{{- $reaches := has $namespace (list .root.Release.Namespace .rootNamespace) -}}
{{- if and .attachment.selector .attachment.targetRefs }}
{{ .at }}: selector and targetRefs exclude each other; keep one
{{- else if and .attachment.selector $reaches (include "cors-authz.selects" (list .attachment.selector $own)) }}
{{ .at }}.selector: the service's own pods have these labels, and would ask themselves; name a label that they lack
{{- else if or .attachment.selector .attachment.targetRefs }}
{{- else if eq $namespace .rootNamespace }}
{{ .at }}: `{{ $namespace }}` is Istio's root namespace, whence all workloads of the mesh would ask the service, and so would its own pods; add a selector or targetRefs, or name another namespace
{{- else if $reaches }}
{{ .at }}: the whole of `{{ $namespace }}` holds the service too, which would ask itself; add a selector
{{- end }}
{{- end -}}

{{/* list labels all: whether all are among all. */}}
{{- define "cors-authz.selects" -}}
{{- $all := index . 1 -}}
{{- $selects := true -}}
{{- range $key, $value := index . 0 -}}
{{- if not (and (hasKey $all $key) (eq (toString $value) (get $all $key | toString))) }}{{ $selects = false }}{{ end -}}
{{- end -}}
{{- $selects | ternary "true" "" -}}
{{- end -}}

{{/* dict root at attachment rootNamespace: targets that Istio would pass over in silence, so that requests pass unasked. */}}
{{- define "cors-authz.mistakes-of-target-refs" -}}
{{- $root := .root -}}
{{- $namespace := .attachment.namespace -}}
{{- $own := list (include "cors-authz.fullname" $root) (include "cors-authz.named" (list $root "headless")) -}}
{{- range $number, $target := .attachment.targetRefs }}
{{- $at := printf "%s.targetRefs[%d]" $.at $number }}
{{- if and (eq .kind "GatewayClass") (ne $namespace $.rootNamespace) }}
{{ $at }}: Istio heeds a GatewayClass in its root namespace `{{ $.rootNamespace }}` alone, so nothing would be attached; name that namespace, or a Gateway
{{- end }}
{{- if and (eq .kind "GatewayClass") (ne .name "istio-waypoint") }}
{{ $at }}: Istio heeds no GatewayClass but `istio-waypoint`, so nothing would be attached; write that, or a Gateway
{{- end }}
{{- if and (eq .kind "Service") (eq $namespace $root.Release.Namespace) (has .name $own) }}
{{ $at }}: this is the service itself, whose waypoint would ask it about each check; name another
{{- end }}
{{- if and (include "cors-authz.has-envoy-filter" $) (eq (toString $.attachment.context) "SIDECAR_INBOUND") }}
{{ $at }}: a Gateway is no sidecar, and the EnvoyFilter would change nothing; leave context out
{{- end }}
{{- end }}
{{- end -}}

{{/*
dict root attachment other rootNamespace: whether all that the one patches is the other's too, as far as labels tell.
Istio would add to the cluster twice, and Envoy refuses two health checks of one kind.
*/}}
{{- define "cors-authz.meets" -}}
{{- $both := and (include "cors-authz.has-envoy-filter" .) (include "cors-authz.has-envoy-filter" (dict "root" .root "attachment" .other)) -}}
{{- $is_one_place := eq .attachment.namespace .other.namespace -}}
{{- range $each := list .attachment .other -}}
{{- if and (eq .namespace $.rootNamespace) (not .targetRefs) }}{{ $is_one_place = true }}{{ end -}}
{{- end -}}
{{- if and $both $is_one_place (eq (default "GATEWAY" .attachment.context) (default "GATEWAY" .other.context)) -}}
{{- range $one := include "cors-authz.selections" .attachment | fromYamlArray -}}
{{- range $two := include "cors-authz.selections" $.other | fromYamlArray -}}
{{- if or (include "cors-authz.selects" (list $one $two)) (include "cors-authz.selects" (list $two $one)) }}true{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels of an attachment's workloads; those of a Gateway have its name. */}}
{{- define "cors-authz.selections" -}}
{{- range .targetRefs }}
- {gateway.networking.k8s.io/gateway-name: {{ .name | quote }}}
{{- else }}
- {{ default dict .selector | toJson }}
{{- end }}
{{- end -}}

{{/* dict at rules: what a client could write so that it would pass unasked. */}}
{{- define "cors-authz.mistakes-of-rules" -}}
{{- $at := .at -}}
{{- range $number, $rule := .rules -}}
{{- range $place, $to := $rule.to -}}
{{- range $host := (default dict $to.operation).hosts -}}
{{- $path := printf "%s.rules[%d].to[%d].operation.hosts" $at $number $place -}}
{{- $name := regexReplaceAll `\[[^\]]*\]` (trimSuffix ":*" $host) "" -}}
{{- if or (contains ":" $name) (and (hasPrefix "*" $name) (ne $name "*")) }}
{{ $path }}: `{{ $host }}` leaves out requests that name another port, which would pass unasked; write whole hosts without a port, or leave rules out and let the policy say what each host may do
{{- else if contains "*" (trimSuffix "*" $name) }}
{{ $path }}: `{{ $host }}` matches no host, since a `*` counts at the end alone, and all would pass unasked; write whole hosts
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $place, $when := $rule.when -}}
{{- if hasPrefix "request.headers" $when.key }}
{{ $at }}.rules[{{ $number }}].when[{{ $place }}].key: `{{ $when.key }}` is what the client writes, who so would choose not to be asked; leave it out, and let the policy decide
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cors-authz.mistakes-of-envoy-gateway" -}}
{{- $tls := .Values.tls -}}
{{- $gateway := .Values.integrations.envoyGateway -}}
{{- if not $gateway.targetRefs }}
integrations.envoyGateway.targetRefs: nothing is attached; name a Gateway or an HTTPRoute
{{- end }}
{{- if and $tls.enabled (not $gateway.caCertificateRefs) }}
integrations.envoyGateway.caCertificateRefs: the service serves by TLS, and Envoy would not trust it; name a ConfigMap with ca.crt
{{- end }}
{{- if and $tls.enabled $tls.requireClientCertificate }}
tls.requireClientCertificate: a BackendTLSPolicy names no certificate of Envoy's own; set it in the EnvoyProxy (`backendTLS`), and this to false until then
{{- end }}
{{- if and $gateway.patch.enabled (not (and $gateway.patch.gateway $gateway.patch.listeners)) }}
integrations.envoyGateway.patch: name the gateway and its listeners
{{- end }}
{{- end -}}

{{- define "cors-authz.mistakes-of-gateway-api" -}}
{{- $integrations := .Values.integrations -}}
{{- $api := $integrations.gatewayApi -}}
{{- $gateway := $integrations.envoyGateway -}}
{{- if not $api.routes }}
integrations.gatewayApi.routes: there are none
{{- end }}
{{- if not (or $api.externalAuth $integrations.istio.enabled $gateway.enabled) }}
integrations.gatewayApi: nothing attaches the service, and requests of these routes would pass unasked; set externalAuth, or use integrations.envoyGateway or integrations.istio
{{- end }}
{{- if and $api.externalAuth (or $gateway.enabled (gt (int .Values.workers) 1)) }}
integrations.gatewayApi.externalAuth: {{ $gateway.enabled | ternary "integrations.envoyGateway attaches already, and each request would be checked twice" "the filter names one port, so further workers would never be asked; set workers to 1" }}
{{- end }}
{{- if and $api.externalAuth .Values.tls.enabled }}
integrations.gatewayApi.externalAuth: the service serves by TLS, and nothing tells the gateway, which would not speak it; set tls.enabled to false, or use integrations.envoyGateway or integrations.istio
{{- end }}
{{- if and $gateway.enabled (not (or $api.externalAuth $integrations.istio.enabled)) }}
{{- range $number, $route := $api.routes }}
{{- if include "cors-authz.passes-envoy-gateway" (list $ .) }}
integrations.gatewayApi.routes[{{ $number }}]: integrations.envoyGateway.targetRefs names neither `{{ .name }}` nor all of its Gateways, so requests would pass unasked; add {kind: HTTPRoute, name: {{ .name }}} there, where both have one namespace
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* list $ route: whether a request may come by it that Envoy Gateway asks nobody about. */}}
{{- define "cors-authz.passes-envoy-gateway" -}}
{{- $root := index . 0 -}}
{{- $route := index . 1 -}}
{{- $gateway := $root.Values.integrations.envoyGateway -}}
{{- $attached := default $root.Release.Namespace $gateway.namespace -}}
{{- $namespace := default $root.Release.Namespace $root.Values.integrations.gatewayApi.namespace -}}
{{- $is_target := false -}}
{{- $passed := list -}}
{{- range $gateway.targetRefs -}}
{{- if and (eq .kind "HTTPRoute") (eq .name $route.name) (eq $attached $namespace) (not .sectionName) }}{{ $is_target = true }}{{ end -}}
{{- end -}}
{{- range $parent := $route.parentRefs -}}
{{- $is_asked := ne (default "Gateway" .kind) "Gateway" -}}
{{- range $gateway.targetRefs -}}
{{- $is_whole := or (not .sectionName) (eq .sectionName (toString $parent.sectionName)) -}}
{{- if and (eq .kind "Gateway") (eq .name (toString $parent.name)) (eq $attached (default $namespace $parent.namespace)) $is_whole }}{{ $is_asked = true }}{{ end -}}
{{- end -}}
{{- if not $is_asked }}{{ $passed = append $passed .name }}{{ end -}}
{{- end -}}
{{- if and $passed (not $is_target) }}true{{ end -}}
{{- end -}}
