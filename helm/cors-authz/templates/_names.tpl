{{/* What an object is called and labelled. */}}

{{- define "cors-authz.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name for its objects. What is cut ends in a digest, so that two long names stay two. */}}
{{- define "cors-authz.fullname" -}}
{{- $name := include "cors-authz.name" . -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- include "cors-authz.cut" (list $full 63) -}}
{{- end -}}

{{/* list text length: the text, within the length. */}}
{{- define "cors-authz.cut" -}}
{{- $text := index . 0 -}}
{{- $length := index . 1 -}}
{{- if gt (len $text) $length -}}
{{- printf "%s-%s" (trunc (int (sub $length 9)) $text | trimSuffix "-") (sha256sum $text | trunc 8) -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* list $ suffix: the name of a further object. */}}
{{- define "cors-authz.named" -}}
{{- $suffix := index . 1 -}}
{{- printf "%s-%s" (include "cors-authz.cut" (list (include "cors-authz.fullname" (index . 0)) (int (sub 62 (len $suffix))))) $suffix -}}
{{- end -}}

{{- define "cors-authz.service-account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cors-authz.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "cors-authz.policy-config-map" -}}
{{- default (include "cors-authz.named" (list . "policy")) .Values.policy.existingConfigMap -}}
{{- end -}}

{{- define "cors-authz.tls-secret" -}}
{{- default (include "cors-authz.named" (list . "tls")) .Values.tls.existingSecret -}}
{{- end -}}

{{- define "cors-authz.host" -}}
{{- printf "%s.%s.svc.%s" (include "cors-authz.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "cors-authz.headless-host" -}}
{{- printf "%s.%s.svc.%s" (include "cors-authz.named" (list . "headless")) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* Whether the Service's own address leads to the pods of one node alone. */}}
{{- define "cors-authz.traffic-policy" -}}
{{- default (eq .Values.mode "daemonset" | ternary "Local" "Cluster") .Values.service.internalTrafficPolicy -}}
{{- end -}}

{{/* What an Envoy of one's own asks: each pod, or that of its node. */}}
{{- define "cors-authz.endpoint" -}}
{{- $is_of_node := and (eq .Values.mode "daemonset") (eq (include "cors-authz.traffic-policy" .) "Local") -}}
{{- include ($is_of_node | ternary "cors-authz.host" "cors-authz.headless-host") . -}}
{{- end -}}

{{- define "cors-authz.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What tells the serving pods from all others; never changes while a release lives. */}}
{{- define "cors-authz.selector" -}}
{{- include "cors-authz.component" (list . "authorization") -}}
{{- end -}}

{{/* list $ component: what tells those objects from all others. */}}
{{- define "cors-authz.component" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "cors-authz.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* list $ component labels: an object's labels. Those that its own values name win over the common ones; the chart's over both. */}}
{{- define "cors-authz.labels" -}}
{{- $root := index . 0 -}}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $own := dict "app.kubernetes.io/version" $root.Chart.AppVersion "app.kubernetes.io/managed-by" $root.Release.Service "helm.sh/chart" $chart -}}
{{- $component := include "cors-authz.component" (list $root (index . 1)) | fromYaml -}}
{{- include "cors-authz.joined" (list $root.Values.commonLabels (last . | kindIs "map" | ternary (last .) dict) $own $component) -}}
{{- end -}}

{{/* A list of mappings as one; the later win, and a null says nothing. Not `merge`, which takes an empty text for none. */}}
{{- define "cors-authz.joined" -}}
{{- $joined := dict -}}
{{- range . -}}
{{- range $key, $value := . }}{{ if not (kindIs "invalid" $value) }}{{ $_ := set $joined $key $value }}{{ end }}{{ end -}}
{{- end -}}
{{- toYaml $joined -}}
{{- end -}}
