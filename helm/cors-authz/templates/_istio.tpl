{{/* What Istio is told. */}}

{{/* The mesh knows its providers by one name each, whatever namespace they serve from. */}}
{{- define "cors-authz.provider" -}}
{{- default (include "cors-authz.cut" (list (printf "%s-%s" (include "cors-authz.fullname" .) .Release.Namespace) 63)) .Values.integrations.istio.provider -}}
{{- end -}}

{{- define "cors-authz.mesh-config" -}}
extensionProviders:
- name: {{ include "cors-authz.provider" . | quote }}
  envoyExtAuthzGrpc:
    service: {{ include "cors-authz.host" . }}
    port: {{ .Values.server.port }}
    timeout: {{ include "cors-authz.seconds" . }}
    failOpen: false
    statusOnError: {{ .Values.integrations.statusOnError | quote }}
{{- end -}}

{{/* Istio's root namespace, whose policies are the whole mesh's: as its configuration says, else where that is. */}}
{{- define "cors-authz.root-namespace" -}}
{{- $found := include "cors-authz.mesh-config-map" . | fromYaml -}}
{{- $place := default "istio-system" .Values.integrations.istio.meshConfigMap | splitList "/" | first -}}
{{- default $place (fromYaml (default "{}" (default dict $found.data).mesh)).rootNamespace -}}
{{- end -}}

{{/* dict root attachment: whether it has an EnvoyFilter, which knows workloads and Gateways. */}}
{{- define "cors-authz.has-envoy-filter" -}}
{{- $takes := .root.Values.integrations.istio.envoyFilter.enabled -}}
{{- range .attachment.targetRefs -}}
{{- if ne .kind "Gateway" }}{{ $takes = false }}{{ end -}}
{{- end -}}
{{- $takes | ternary "true" "" -}}
{{- end -}}

{{/* How Envoy speaks TLS. What Istio's own certificates name is no host, and Istio knows it. */}}
{{- define "cors-authz.istio-tls" -}}
{{- $tls := .Values.integrations.istio.tls -}}
{{- $host := include "cors-authz.host" . -}}
{{- $named := eq $tls.mode "ISTIO_MUTUAL" | ternary dict (dict "sni" $host "subjectAltNames" (list $host)) -}}
{{- merge (deepCopy $tls) $named | toYaml -}}
{{- end -}}

{{/* An attachment's targets. Istio reads one of another group, or of none, as no target of its own, and attaches nothing. */}}
{{- define "cors-authz.istio-target-refs" -}}
{{- $gateway := "gateway.networking.k8s.io" -}}
{{- $groups := dict "Gateway" $gateway "GatewayClass" $gateway "Service" "" "ServiceEntry" "networking.istio.io" -}}
{{- range .targetRefs }}
- {group: {{ get $groups .kind | quote }}, kind: {{ .kind }}, name: {{ .name | quote }}}
{{- end }}
{{- end -}}

{{/*
The rules of an attachment. A host of Istio's matches the whole authority, and a request that names a port goes to the
same route: each host stands with any port too, or such a request would pass unasked.
*/}}
{{- define "cors-authz.attachment-rules" -}}
{{- $rules := deepCopy (default (list dict) .rules) -}}
{{- range $rules -}}
{{- range .to -}}
{{- with (default dict .operation) -}}
{{- if .hosts -}}
{{- $hosts := list -}}
{{- range .hosts -}}
{{- $host := trimSuffix ":*" . -}}
{{- $hosts = append $hosts $host -}}
{{- if not (hasSuffix "*" $host) }}{{ $hosts = append $hosts (printf "%s:*" $host) }}{{ end -}}
{{- end -}}
{{- $_ := set . "hosts" (uniq $hosts) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{/* dict root attachment: what an EnvoyFilter changes. */}}
{{- define "cors-authz.istio-patches" -}}
{{- $context := default "GATEWAY" .attachment.context -}}
- applyTo: HTTP_FILTER
  match:
    context: {{ $context }}
    listener:
      filterChain:
        filter:
          name: envoy.filters.network.http_connection_manager
          subFilter: {name: envoy.filters.http.ext_authz}
  patch:
    operation: MERGE
    value:
      name: envoy.filters.http.ext_authz
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
        grpc_service:
          initial_metadata: {{- include "cors-authz.initial-metadata" .root | nindent 10 }}
        validate_mutations: true
        charge_cluster_response_stats: false
{{- if include "cors-authz.istio-strips" . }}
- applyTo: VIRTUAL_HOST
  match: {context: {{ $context }}}
  patch:
    operation: MERGE
    value:
      response_headers_to_remove: {{- include "cors-authz.upstream-headers" .root | nindent 6 }}
{{- end }}
- applyTo: CLUSTER
  match:
    context: {{ eq $context "GATEWAY" | ternary "GATEWAY" "SIDECAR_OUTBOUND" }}
    cluster: {service: {{ include "cors-authz.host" .root | quote }}, portNumber: {{ .root.Values.server.port }}}
  patch:
    operation: MERGE
    value:
      connect_timeout: 0.25s
      health_checks:
      - timeout: 0.3s
        interval: 0.5s
        unhealthy_interval: 0.5s
        no_traffic_interval: 0.5s
        unhealthy_threshold: 1
        healthy_threshold: 1
        grpc_health_check: {}
      outlier_detection:
        consecutive_gateway_failure: 3
        enforcing_consecutive_gateway_failure: 100
        consecutive_5xx: 3
        split_external_local_origin_errors: true
        consecutive_local_origin_failure: 5
        interval: 1s
        base_ejection_time: 3s
        max_ejection_percent: 50
      # Istio's 0 asks nobody where none is healthy, those that drain included.
      common_lb_config: {healthy_panic_threshold: {value: 1}}
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
          retry_policy: {{- include "cors-authz.retry-policy" .root | nindent 12 }}
{{- if .root.Values.integrations.istio.envoyFilter.accessLog }}
- applyTo: NETWORK_FILTER
  match:
    context: {{ $context }}
    listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
  patch:
    operation: MERGE
    value:
      name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        access_log:
        - name: envoy.access_loggers.stdout
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
            log_format:
              json_format:
                time: "%START_TIME%"
                method: "%REQ(:METHOD)%"
                authority: "%REQ(:AUTHORITY)%"
                path: "%PATH(NQ)%"
                code: "%RESPONSE_CODE%"
                details: "%RESPONSE_CODE_DETAILS%"
                flags: "%RESPONSE_FLAGS%"
                request_id: "%REQ(X-REQUEST-ID)%"
                decision: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%"
{{- end }}
{{- end -}}
