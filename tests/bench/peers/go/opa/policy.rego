# The bench's policy in Rego: the same routes, origins, rules and guards, in lookups rather than scans.
package shop

import rego.v1

http := input.attributes.request.http

headers := http.headers

group := data.routes[http.host][split(split(http.path, "?")[0], "/")[1]]

preflight if {
	http.method == "OPTIONS"
	headers.origin
	headers["access-control-request-method"]
}

method := headers["access-control-request-method"] if {
	preflight
} else := http.method

own_page if headers.origin == concat("", [http.scheme, "://", http.host])

own_page if {
	not headers.origin
	headers["sec-fetch-site"] in {"same-origin", "none"}
}

browser if headers.origin

browser if headers["sec-fetch-site"]

# Writes and WebSockets need a rule; a read without one is forwarded, and the browser keeps its answer from the script.
needs_rule if {
	browser
	not own_page
	changes
}

changes if not http.method in {"GET", "HEAD", "OPTIONS"}

changes if lower(headers.upgrade) == "websocket"

app := found if {
	found := data.exact[headers.origin]
} else := data.patterns[suffix] if {
	parts := split(headers.origin, ".")
	regex.match(`^https://pr-[0-9]+$`, parts[0])
	suffix := concat(".", array.slice(parts, 1, count(parts)))
}

rule := found if {
	some found in group.rules
	app in found.apps
	method in found.methods
}

headers_granted if {
	asked := headers["access-control-request-headers"]
	every name in split(asked, ",") {
		trim_space(name) in rule.headers
	}
}

headers_granted if not headers["access-control-request-headers"]

token := substring(headers.authorization, count("Bearer "), -1) if startswith(headers.authorization, "Bearer ")

claims := payload if {
	not data.verify
	[_, payload, _] := io.jwt.decode(token)
	payload.iss == data.issuer
	data.audience in payload.aud
	payload.exp * 1000000000 > time.now_ns()
}

claims := payload if {
	data.verify
	[valid, _, payload] := io.jwt.decode_verify(token, {"cert": data.jwks, "iss": data.issuer, "aud": data.audience})
	valid
}

guards_hold if group.guard == "none"

guards_hold if {
	group.guard == "signed-in"
	claims
}

guards_hold if {
	group.guard == "clerks"
	data.role in claims.roles
}

default outcome := "deny"

outcome := "preflight_allow" if {
	preflight
	rule
	headers_granted
} else := "preflight_deny" if {
	preflight
} else := "deny" if {
	needs_rule
	not rule
} else := "allow" if {
	group
	guards_hold
}

status := {"allow": 200, "preflight_allow": 204, "preflight_deny": 403, "deny": 403}[outcome]

granted := {
	"access-control-allow-origin": headers.origin,
	"access-control-allow-methods": method,
	"access-control-allow-headers": object.get(headers, "access-control-request-headers", ""),
	"access-control-max-age": "600",
} if {
	outcome == "preflight_allow"
} else := {"access-control-allow-origin": headers.origin} if {
	rule
	not preflight
} else := {}

answer := {
	"outcome": outcome,
	"status": status,
	"headers": object.union(granted, {"vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}),
}
