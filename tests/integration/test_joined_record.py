"""One request from both sides: what a real service decided and what the client got, joined by the command line."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.upstream import Upstream
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, bootstrap
from tests.serving import SECONDS, command, environment, started, until

SHOP: Final = "https://shop.example"
ANY_PORT: Final = Address("127.0.0.1", 0)
POLICY: Final = f"""\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {{name: shop, revision: r1}}
originGroups:
  web: {{origins: ["{SHOP}"], contact: web@shop.example, trust: high}}
defaults: {{mode: shadow}}
resourceGroups:
  api:
    match:
    - {{hosts: [api.example]}}
    allow:
    - {{origins: [web], description: the shop's own pages}}
"""


@contextmanager
def running(verb: str, log: Path, listens: str, *arguments: str) -> Iterator[Address]:
    """Run a verb until it says where it listens, and end it."""
    with started(command(verb, *arguments), log, rf"{listens} (\S+)\s") as (_, said):
        yield Address.parse(said[1])


def shown(*arguments: str) -> dict[str, Any]:
    words = command("audit", "show", "-o", "json", *arguments)
    told = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=True)
    joined: dict[str, Any] = json.loads(told.stdout)
    return joined


def test_an_upstream_that_says_another_permission_is_seen_in_the_joined_record(
    envoy_binary: Path, tmp_path: Path
) -> None:
    policy, decisions, deliveries = (tmp_path / name for name in ("policy.yaml", "decisions.jsonl", "deliveries.jsonl"))
    policy.write_text(POLICY)
    # In shadow the upstream still speaks for itself, and is found out before the policy is enforced.
    upstream = Upstream(extra_headers={"/own": (("access-control-allow-origin", "*"),)})
    serve = ("--policy", str(policy), "--listen", "127.0.0.1:0", "--audit", str(decisions), "--drain-seconds", "0")
    collect = ("--listen", "127.0.0.1:0", "--lines", str(deliveries), "--grace-seconds", "2")
    with (
        upstream,
        running("serve", tmp_path / "serve.log", "decides on", *serve) as service,
        running("access-log", tmp_path / "access.log", "are compared on", *collect) as listener,
    ):
        # Five times the usual: on a busy machine the first check may take longer than a try, and be decided twice.
        options = Options(timeout_ms=2500, access_logs=listener, shadow=True)
        config = bootstrap(ANY_PORT, [service], upstream.address, ANY_PORT, options)
        with EnvoyProcess(envoy_binary, config) as envoy:
            connection = http.client.HTTPConnection(envoy.address.host, envoy.address.port, timeout=SECONDS)
            connection.request("GET", "/own", headers={"host": "api.example", "origin": SHOP})
            assert connection.getresponse().getheader("access-control-allow-origin") == "*"
            connection.close()
            # Envoy holds its access log back for a second.
            until(lambda: '"kind":"delivery"' in deliveries.read_text())
    (decision,) = (json.loads(line) for line in decisions.read_text().splitlines() if '"kind":"decision"' in line)
    request = shown("--request", decision["request_id"], str(decisions), str(deliveries))
    told = json.dumps(request)
    assert decision["decision_id"] in told
    assert "the shop's own pages" in told
    assert '"would_allow_origin_differs": "overwritten"' in told
    assert [each["request_id"] for side in ("decisions", "deliveries") for each in request[side]] == [
        decision["request_id"]
    ] * 2


@pytest.mark.parametrize("kind", ["decisions", "deliveries"])
def test_a_request_that_no_file_knows_is_told_so(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"{kind}.jsonl"
    file.write_text("")
    words = command("audit", "show", "--request", "r", str(file))
    told = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (told.returncode, "no line of these files" in told.stderr + told.stdout) == (1, True)
