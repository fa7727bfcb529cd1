{{/* Parts of Envoy's own configuration, as docs/envoy.md explains them. */}}

{{/* What upstreams may not say for themselves. */}}
{{- define "cors-authz.upstream-headers" -}}
- access-control-allow-origin
- access-control-allow-credentials
- access-control-allow-methods
- access-control-allow-headers
- access-control-expose-headers
- access-control-max-age
- access-control-allow-private-network
{{- end -}}

{{/*
dict root attachment: whether an attachment's EnvoyFilter takes them off. It would on every host of the proxy, so with
`rules` it takes off none: of what the service is asked about, it blanks them itself.
*/}}
{{- define "cors-authz.istio-strips" -}}
{{- if and .root.Values.integrations.stripUpstreamHeaders (not .attachment.rules) (include "cors-authz.has-envoy-filter" .) -}}
true
{{- end -}}
{{- end -}}

{{/* The same of the patched Gateway: it does where the whole of it is attached. */}}
{{- define "cors-authz.envoy-gateway-strips" -}}
{{- $gateway := .Values.integrations.envoyGateway -}}
{{- $whole := false -}}
{{- range $gateway.targetRefs -}}
{{- if and (eq .kind "Gateway") (eq .name $gateway.patch.gateway) (not .sectionName) }}{{ $whole = true }}{{ end -}}
{{- end -}}
{{- if and .Values.integrations.stripUpstreamHeaders $gateway.patch.enabled $whole -}}
true
{{- end -}}
{{- end -}}

{{/* The enabled integrations that take off what upstreams say of CORS. */}}
{{- define "cors-authz.stripping" -}}
{{- $integrations := .Values.integrations -}}
{{- $names := list -}}
{{- if $integrations.istio.enabled -}}
{{- range $integrations.istio.attachments -}}
{{- if include "cors-authz.istio-strips" (dict "root" $ "attachment" .) }}{{ $names = append $names "integrations.istio" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $integrations.envoyGateway.enabled (include "cors-authz.envoy-gateway-strips" .) -}}
{{- $names = append $names "integrations.envoyGateway" -}}
{{- end -}}
{{- if and $integrations.gatewayApi.enabled $integrations.stripUpstreamHeaders -}}
{{- $names = append $names "integrations.gatewayApi" -}}
{{- end -}}
{{- uniq $names | join ", " -}}
{{- end -}}

{{- define "cors-authz.initial-metadata" -}}
# In `retry_policy` a timeout for each try has no effect.
- {key: x-envoy-upstream-rq-per-try-timeout-ms, value: {{ div .Values.integrations.timeoutMilliseconds 5 | quote }}}
- {key: x-request-id, value: "%REQ(X-REQUEST-ID):128%"}
{{- end -}}

{{- define "cors-authz.retry-policy" -}}
retry_on: connect-failure,refused-stream,reset,reset-before-request,unavailable,cancelled,resource-exhausted
num_retries: 3
retry_back_off: {base_interval: 0.01s, max_interval: 0.05s}
retry_host_predicate:
- name: envoy.retry_host_predicates.previous_hosts
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
host_selection_retry_max_attempts: 5
{{- end -}}

{{- define "cors-authz.seconds" -}}
{{- divf .Values.integrations.timeoutMilliseconds 1000 }}s
{{- end -}}
