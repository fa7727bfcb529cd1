"""One policy for who may call what from a browser, answered to Envoy's external-authorization filter.

Data reads left to right, imports go right to left:

    CheckRequest bytes -> decode -> Request -> match -> Readings -> decide -> Decision -> encode -> CheckResponse bytes
                          envoy     fetch      pdp      edge        pdp       pdp         envoy

    policy files -> documents -> lint, compile -> CompiledPolicy -> PolicyStore (one reference, swapped)

    __main__ > cli > demo > (doctor | edge) > (envoy | review) > pdp > policy > fetch

`fetch` knows what browsers promise, `policy` what the operator says, `pdp` decides (pure and total), `envoy` speaks the
wire, `edge` owns clocks, files, sockets and keys, `doctor` judges how an Envoy asks, `demo` and `cli` are for people.
"""

__version__ = "0.1.0"
