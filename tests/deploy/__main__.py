"""`make verify-deploy`: the chart on a real cluster, attached to real data planes, disturbed under a load."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from docs.marked import between
from tests.deploy import parts
from tests.deploy.cluster import AbsentError, Cluster, ClusterError
from tests.deploy.data_planes import EnvoyGateway, Istio, envoy_gateway, istio, plain
from tests.deploy.parts import Jaeger
from tests.deploy.release import Release, values_of
from tests.deploy.report import BEGIN, END, tables, wrong
from tests.deploy.site import Images, Site

_ROOT: Final = Path(__file__).parents[2]
_RESULTS: Final = _ROOT / ".deploy" / "results.json"
_DOCUMENT: Final = _ROOT / "docs" / "verified.md"
_PARTS: Final = ("lifecycle", "reload", "modes", "envoy", "istio", "envoy-gateway", "trace")


def main(arguments: Sequence[str]) -> int:
    """Verify what is asked; 0 if all of it is as it must be, or if there is no cluster."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - set(_PARTS):
        parser.error(f"there is no part `{min(unknown)}`; write some of {', '.join(_PARTS)}")
    if asked.record:
        return _record()
    try:
        site = Site(Cluster(asked.kubeconfig), Images(asked.image, asked.envoy_image), _say)
        results = _verify(asked, site)
    except AbsentError as error:
        _say(f"verify-deploy skipped: {error}")
        return 0
    except ClusterError as error:
        _say(f"verify-deploy ended: {error}")
        return 1
    return _judge(results, asked.parts or _PARTS)


def _record() -> int:
    """Write the document from a verification of all parts, in which everything is as it must be."""
    results = _earlier()
    lines = [f"{part}: not verified" for part in _PARTS if part not in results] or wrong(results)
    for line in lines:
        _say(f"not recorded: {line}")
    if not lines:
        _DOCUMENT.write_text(between(_DOCUMENT.read_text(), BEGIN, END, tables(results)))
    return 1 if lines else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make verify-deploy", description=__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; default: all")
    add("--kubeconfig", default="", help="the cluster; namespaces cors-verify and cors-verify-hand are made in it")
    add("--image", default="", help="the image of the service that the cluster can pull: REPOSITORY:TAG")
    add("--envoy-image", default="", help="an image of a stock Envoy, with `envoy` on its PATH")
    add("--values", type=Path, help="values of the chart that this cluster needs")
    add("--istio-namespace", default="istio-system", help="where the workload of Istio's gateway is")
    add("--istio-labels", default="istio=ingressgateway", help="its labels")
    add("--istio-port", type=int, default=8080, help="the port that it is to listen on")
    add("--istio-url", default="http://istio-ingressgateway.istio-system.svc.cluster.local")
    add("--gateway-class", default="eg", help="Envoy Gateway's GatewayClass")
    add("--envoy-gateway-url", default="", help="of a Gateway, from within the cluster; default: its Service")
    add("--collector", default="", help="where Jaeger takes OTLP by gRPC, from within the cluster")
    add("--jaeger", default="", help="the URL of Jaeger's query service, from within the cluster")
    add("--note", default="", help="versions that belong beside the figures")
    add("--keep", action="store_true", help="leave the namespaces in the end")
    add("--record", action="store_true", help="write docs/verified.md from the results of earlier runs")
    return parser


def _verify(asked: argparse.Namespace, site: Site) -> dict[str, Any]:
    facts = {"kubernetes": site.cluster.version, "image": asked.image, "note": asked.note}
    # What was found elsewhere does not stand beside this.
    results = earlier if (earlier := _earlier()).get("facts") == facts else {"facts": facts}
    _RESULTS.parent.mkdir(exist_ok=True)
    site.prepare()
    try:
        for part in asked.parts or _PARTS:
            _say(f"=== {part}")
            results[part] = _result(_measure(part, asked, site, Release(site, values_of(asked.values))))
            _say(orjson.dumps(results[part], option=orjson.OPT_INDENT_2).decode())
            _RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    finally:
        if not asked.keep:
            site.clear()
    return results


def _judge(results: dict[str, Any], verified: Sequence[str]) -> int:
    """Print the tables, and fail on what is not as it must be."""
    _say(tables(results))
    lines = wrong({part: results[part] for part in verified})
    for line in lines:
        _say(f"not as it must be: {line}")
    return 1 if lines else 0


def _result(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return measure()
    except AbsentError as error:
        return {"skipped": str(error)}
    except ClusterError as error:
        return {"failed": str(error)}


def _measure(part: str, asked: argparse.Namespace, site: Site, release: Release) -> Callable[[], dict[str, Any]]:
    if part == "modes":
        return partial(parts.modes, site, release)
    (envoy,) = plain(site)
    if part == "lifecycle":
        return partial(parts.lifecycle, site, release, envoy)
    if part == "reload":
        return partial(parts.reload, release)
    if part == "trace":
        return partial(parts.trace, site, release, envoy, Jaeger(asked.collector, asked.jaeger))
    labels = dict(pair.split("=", 1) for pair in asked.istio_labels.split(","))
    planes = {
        "envoy": plain,
        "istio": istio(Istio(asked.istio_namespace, labels, asked.istio_port, asked.istio_url)),
        "envoy-gateway": envoy_gateway(EnvoyGateway(asked.gateway_class, asked.envoy_gateway_url)),
    }[part]
    return lambda: {plane.name: parts.data_plane(site, release, plane) for plane in planes(site)}


def _earlier() -> dict[str, Any]:
    results: dict[str, Any] = orjson.loads(_RESULTS.read_bytes()) if _RESULTS.exists() else {}
    return results


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
