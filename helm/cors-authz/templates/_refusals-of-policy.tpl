{{/* What of a policy can be told without compiling it. */}}

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
