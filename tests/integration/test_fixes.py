"""The lines that `doctor` gives for Envoy's own configuration, pasted where they belong: a real Envoy takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml

from cors_authz.demo.identity import Issuer
from cors_authz.doctor import catalogue
from cors_authz.doctor.finding import Rule
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, Tls, bootstrap
from docs.generated import rules
from tests.contract.test_transport_tls import AUTHORITY, SERVER
from tests.integration.test_export import validate

_LOOPBACK: Final = Address("127.0.0.1", 0)
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions.filters.http"
_STORE: Final = "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"
_TYPED: Final[Mapping[str, Config]] = {
    "jwt_authn": {"@type": f"{_EXTENSIONS}.jwt_authn.v3.JwtAuthentication"},
    "cache": {"@type": f"{_EXTENSIONS}.cache.v3.CacheConfig", "typed_config": {"@type": _STORE}},
    "header_mutation": {"@type": f"{_EXTENSIONS}.header_mutation.v3.HeaderMutation"},
    "file_server": {
        "@type": f"{_EXTENSIONS}.file_server.v3.FileServerConfig",
        "manager_config": {"thread_pool": {}},
        "path_mappings": [{"request_path_prefix": "/files", "file_path_prefix": "/srv"}],
    },
}
"""What filters are that a fix names only to say where they stand."""


class Envoy(NamedTuple):
    """A whole configuration by the parts in which lines are pasted, and the folder of its certificates."""

    config: Config
    static: Config
    chain: Config
    manager: Config
    check: Config
    host: Config
    pem: Path


Paste = Callable[[Envoy, Config], None]


def _at(part: Callable[[Envoy], Config]) -> Paste:
    """Paste fields over those of a part."""
    return lambda envoy, lines: part(envoy).update(lines)


def _filters(envoy: Envoy, lines: Config) -> None:
    """Put the filters in the order that is named; the one that asks is whole where the fix has it whole."""
    known = {each["name"]: each for each in envoy.manager["http_filters"]}
    named = [{**_whole(each["name"]), **known.get(each["name"], {}), **each} for each in lines["http_filters"]]
    rest = [each for name, each in known.items() if name not in {each["name"] for each in named}]
    envoy.manager["http_filters"] = [*named, *rest]


def _whole(name: str) -> Config:
    return {"typed_config": {**_TYPED.get(name.rpartition(".")[2], {})}}


def _verify_clients(envoy: Envoy, lines: Config) -> None:
    read = json.loads(json.dumps(lines).replace("/etc/envoy/client-ca.pem", str(envoy.pem / "ca.pem")))
    envoy.chain["transport_socket"]["typed_config"]["common_tls_context"] |= read["common_tls_context"]


def _decide_over_the_check(envoy: Envoy, lines: Config) -> None:
    policy = {"permissions": lines["permissions"], "principals": [{"any": True}]}
    rules = {"@type": f"{_EXTENSIONS}.rbac.v3.RBAC", "shadow_rules": {"policies": {"asked": policy}}}
    envoy.manager["http_filters"].insert(0, {"name": "envoy.filters.http.rbac", "typed_config": rules})


def _require_a_token(envoy: Envoy, lines: Config) -> None:
    provider = {"issuer": "i", "local_jwks": {"inline_string": Issuer(lambda: 0.0).key_set().decode()}}
    jwt = {
        **_whole("envoy.filters.http.jwt_authn")["typed_config"],
        "providers": {"main": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": lines}],
    }
    envoy.manager["http_filters"].insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt})


def _log(envoy: Envoy, lines: Config) -> None:
    envoy.manager["access_log"][0]["typed_config"] |= lines


def _hosts(envoy: Envoy, lines: Config) -> None:
    envoy.manager["route_config"]["virtual_hosts"].extend(lines["virtual_hosts"])


_CHECK: Final = _at(lambda envoy: envoy.check)
_ENTRY: Final = _at(lambda envoy: envoy.manager["http_filters"][0])
_MANAGER: Final = _at(lambda envoy: envoy.manager)


def _later_hosts(envoy: Envoy, lines: Config) -> None:
    envoy.manager["route_config"] |= json.loads(json.dumps(lines).replace("CLUSTER", "upstream"))


_HOST: Final = _at(lambda envoy: envoy.host)
_ROUTE: Final = _at(lambda envoy: envoy.host["routes"][0])
_CLUSTER: Final = _at(lambda envoy: envoy.static["clusters"][0])
_METADATA: Final = _at(lambda envoy: envoy.check["grpc_service"])


def _clusters(envoy: Envoy, lines: Config) -> None:
    envoy.static["clusters"][:1] = lines["clusters"]


PLACES: Final[Mapping[str, Paste]] = {
    **dict.fromkeys(("DR001", "DR050", "DR052", "DR053", "DR056", "DR057", "DR058"), _filters),
    **dict.fromkeys(("DR002", "DR003", "DR006"), _ROUTE),
    **dict.fromkeys(("DR004", "DR013", "DR014", "DR021"), _ENTRY),
    **dict.fromkeys(("DR005", "DR060", "DR061", "DR062", "DR063", "DR064", "DR065", "DR066"), _MANAGER),
    **dict.fromkeys(("DR067", "DR068"), _MANAGER),
    **dict.fromkeys(("DR007", "DR010", "DR011", "DR012", "DR020", "DR022", "DR023", "DR025"), _CHECK),
    **dict.fromkeys(("DR030", "DR031", "DR032", "DR055", "DR071", "DR111"), _CHECK),
    **dict.fromkeys(("DR033", "DR034"), _METADATA),
    **dict.fromkeys(("DR035", "DR036", "DR037", "DR038", "DR041", "DR042", "DR043"), _CLUSTER),
    **dict.fromkeys(("DR044", "DR045", "DR046", "DR047", "DR048"), _CLUSTER),
    **dict.fromkeys(("DR054", "DR080", "DR081"), _HOST),
    "DR009": _decide_over_the_check,
    "DR015": _later_hosts,
    "DR024": _verify_clients,
    "DR040": _clusters,
    "DR051": _require_a_token,
    "DR070": _log,
    "DR091": _hosts,
}
ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("DR008", "DR110"), "there is nothing to paste"),
    "DR016": "it says which filter stands in place of which",
    **dict.fromkeys(("DR090", "DR092"), "lines of a policy"),
    **dict.fromkeys(("DR100", "DR101", "DR102", "DR103"), "lines of Kubernetes' objects"),
}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pem")
    (folder / "ca.pem").write_bytes(AUTHORITY.pem())
    (folder / "server.pem").write_bytes(SERVER.pem())
    (folder / "server.key").write_bytes(SERVER.key_pem())
    return folder


def exported(pem: Path) -> Envoy:
    tls = Tls(str(pem / "server.pem"), str(pem / "server.key"))
    config = bootstrap(_LOOPBACK, [Address("127.0.0.1", 9191)], Address("127.0.0.1", 80), _LOOPBACK, Options(tls=tls))
    whole = json.loads(json.dumps(config))
    chain = whole["static_resources"]["listeners"][0]["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    check, host = manager["http_filters"][0]["typed_config"], manager["route_config"]["virtual_hosts"][0]
    return Envoy(whole, whole["static_resources"], chain, manager, check, host, pem)


def test_each_fix_is_pasted_or_belongs_elsewhere() -> None:
    assert sorted((*PLACES, *ELSEWHERE)) == sorted(rule.code for rule in rules())


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.code in PLACES], ids=lambda rule: rule.code)
def test_envoy_takes_the_lines_of_a_fix(rule: Rule, envoy_binary: Path, pem: Path, tmp_path: Path) -> None:
    envoy = exported(pem)
    PLACES[rule.code](envoy, yaml.safe_load(rule.fix))
    (tmp_path / "envoy.json").write_text(json.dumps(envoy.config))
    code, said = validate(envoy_binary, tmp_path / "envoy.json")
    # Filters that Envoy's makers have not finished are in use, too.
    assert (code, [each for each in said if "work-in-progress" not in each]) == (0, [])


def test_lines_that_envoy_refuses_are_seen(envoy_binary: Path, pem: Path, tmp_path: Path) -> None:
    envoy, lines = exported(pem), yaml.safe_load(catalogue.IGNORED_RETRY.fix)
    for options in lines["typed_extension_protocol_options"].values():
        del options["@type"]
    PLACES["DR035"](envoy, lines)
    (tmp_path / "envoy.json").write_text(json.dumps(envoy.config))
    assert validate(envoy_binary, tmp_path / "envoy.json")[0] == 1
