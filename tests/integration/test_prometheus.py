"""A real Prometheus scrapes the service as a process, stores its exemplars, and its rules fire on misbehaviour."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

import grpc
import pytest

from cors_authz.edge.transport.interface import CHECK_METHOD
from tests.serving import POLICY_TEXT, ROOT, SECONDS, asked, command, free_ports, started, until

PROMETHEUS: Final = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed; Debian has it as `prometheus`")

EVIL: Final = asked("https://evil.example")
NULL: Final = asked("null")
LOOPBACK: Final = "127.0.0.1"


class Served(NamedTuple):
    """The service: where its checks are answered, and where its metrics are read."""

    channel: grpc.Channel
    metrics: str

    def check(self, raw: bytes, times: int) -> None:
        """Ask for the same decision again and again."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(CHECK_METHOD)
        for _ in range(times):
            call(raw, timeout=SECONDS)


@contextmanager
def service(folder: Path) -> Iterator[Served]:
    # Every check is sampled, and nobody takes the spans: that costs the exemplars nothing.
    sampled = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{LOOPBACK}:1", "OTEL_TRACES_SAMPLER": "always_on"}
    listen = ("--listen", f"{LOOPBACK}:0", "--metrics-listen", f"{LOOPBACK}:0", "--drain-seconds", "0")
    words = command("serve", "--policy", str(folder / "policy.yaml"), *listen)
    ready = r"(?s)read at http://(\S+)/metrics.*decides on (\S+) as"
    with (
        started(words, folder / "log", ready, **sampled) as (_, said),
        grpc.insecure_channel(said[2]) as channel,
    ):
        yield Served(channel, said[1])


class Prometheus(NamedTuple):
    """A Prometheus that runs, by its API."""

    address: str

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - whatever the path has
        """Ask its API."""
        with urlopen(f"http://{self.address}/api/v1/{path}?{urlencode(query)}", timeout=SECONDS) as response:
            return json.load(response)["data"]

    def value(self, expression: str) -> float | None:
        """Evaluate an expression that gives one number, or none."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, dict[str, str]]:
        """Give the labels of the alerts that fire, by their names."""
        alerts = self.get("alerts")["alerts"]
        return {each["labels"]["alertname"]: each["labels"] for each in alerts if each["state"] == "firing"}


def quickened_rules() -> str:
    """Give the rules as they are shipped, but for how long they wait."""
    rules = (ROOT / "monitoring" / "rules.yaml").read_text()
    return re.sub(r"(?m)^( *)(for|interval): \w+$", r"\1\2: 1s", rules)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    assert PROMETHEUS is not None
    (folder / "rules.yaml").write_text(quickened_rules())
    job = {
        "job_name": "cors-authz",
        # A scrape that a busy machine has no time for leaves no value until the next.
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [target]}],
    }
    config = {"global": {"evaluation_interval": "500ms"}, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"{LOOPBACK}:{free_ports()}"
    words = (
        PROMETHEUS,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    )
    with started(words, folder / "prometheus.log", "ready to receive"):
        yield Prometheus(address)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "policy.yaml").write_text(POLICY_TEXT)
    with service(tmp_path) as served:
        yield served


@pytest.fixture
def scraping(tmp_path: Path, served: Served) -> Iterator[Prometheus]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus(folder, served.metrics) as running:
        yield running


def test_prometheus_reads_what_was_decided_and_the_spans_of_it(served: Served, scraping: Prometheus) -> None:
    served.check(asked(), 3)
    served.check(EVIL, 2)
    until(lambda: scraping.value('cors_authz_decisions_total{reason="rule_allowed"}') == 3)
    until(lambda: scraping.value('cors_authz_origin_decisions_total{origin_group="unlisted"}') == 2)
    assert scraping.value("cors_authz_check_duration_seconds_count") == 5
    assert scraping.value('cors_authz_policy_info{revision="r1", environment="prod"}') == 1
    assert scraping.value("cors_authz_policy_newest_in_force") == 1
    (target,) = scraping.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    (told,) = scraping.get("metadata", metric="cors_authz_check_duration_seconds")["cors_authz_check_duration_seconds"]
    assert (told["type"], told["help"]) == ("histogram", "How long checks took, from the message to the answer.")
    stored = scraping.get(
        "query_exemplars", query="cors_authz_check_duration_seconds_bucket", start="0", end="4000000000"
    )
    spans = [exemplar["labels"] for series in stored for exemplar in series["exemplars"]]
    assert spans
    assert all(re.fullmatch("[0-9a-f]{32}", span["trace_id"]) for span in spans)


def test_alerts_fire_on_misbehaviour_and_on_a_policy_that_is_refused(
    served: Served, scraping: Prometheus, tmp_path: Path
) -> None:
    # What begins before it is scraped has no rate.
    served.check(asked(), 1)
    served.check(NULL, 1)
    until(lambda: scraping.value('sum(cors_authz_decisions_total{group="api"})') == 2)
    served.check(asked(), 200)
    until(lambda: (scraping.value('group:cors_authz_decisions:rate5m{group="api"}') or 0) > 0.2)
    assert "CorsAuthzNullStorm" not in scraping.firing()
    served.check(NULL, 600)
    until(lambda: "CorsAuthzNullStorm" in scraping.firing())
    # Of a group that nobody knows the past of, no share is unusual.
    assert "CorsAuthzDenialRatioJump" not in scraping.firing()
    (tmp_path / "policy.yaml").write_text(POLICY_TEXT.replace("https://shop.example", "null"))
    until(lambda: "CorsAuthzPolicyRefused" in scraping.firing())
    assert scraping.value('cors_authz_policy_reloads_total{result="refused"}') == 1
