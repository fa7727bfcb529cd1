"""docs/access-log.md keeps what it promises: its Envoy is the one that we print, its verdicts are all there are."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click
import yaml

from cors_authz.cli.access_log import access_log
from cors_authz.cli.export import envoy
from cors_authz.edge.access_log.options import AccessLogOptions, StreamBounds
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, bootstrap
from cors_authz.review.delivery import Verdict

DOCUMENT: Final = (Path(__file__).parents[3] / "docs" / "access-log.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
ADDRESS: Final = Address("127.0.0.1", 9192)


def _printed() -> dict[str, Any]:
    upstream, admin = Address("127.0.0.1", 8000), Address("127.0.0.1", 9901)
    options = Options(access_logs=ADDRESS)
    return bootstrap(Address("127.0.0.1", 8080), [Address("127.0.0.1", 9191)], upstream, admin, options)


def test_what_is_to_be_attached_is_what_export_prints() -> None:
    log, cluster = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
    resources = _printed()["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]

    assert log["access_log"] == manager["access_log"][1:]
    assert [cluster] == [each for each in resources["clusters"] if each["name"] == "access_log"]


def test_each_verdict_has_its_row_and_no_other_does() -> None:
    section = DOCUMENT.partition("## Verdicts")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]

    assert [row[1].strip(" `") for row in rows] == [verdict.value for verdict in Verdict]
    assert all(len(row) == 5 and all(cell.strip() for cell in row[1:4]) for row in rows)


def _shown() -> list[list[str]]:
    """Give the commands that are shown, in words."""
    texts = [text for language, text in BLOCKS if language == "console"]
    return [shlex.split(line) for text in texts for line in text.splitlines()]


def test_the_commands_that_are_shown_have_options_that_there_are() -> None:
    plain, by_tls, export = _shown()

    shown = access_log.make_context("access-log", plain[2:]).params
    assert (shown["listen"], shown["policy"], shown["metrics_listen"]) == (
        "0.0.0.0:9192",
        Path("policy.yaml"),
        "127.0.0.1:9193",
    )
    assert access_log.make_context("access-log", by_tls[2:]).params["tls_client_ca"] == Path("ca.pem")
    assert envoy.make_context("envoy", export[3:]).params["access_log_ca"] == "ca.pem"


def test_the_bounds_are_those_of_the_code() -> None:
    bounds = StreamBounds()
    table = DOCUMENT.partition("## What is bounded")[2]

    assert f"{bounds.streams} streams" in table
    assert f"{bounds.identify_seconds:.0f} s for a stream" in table
    assert f"{bounds.idle_seconds / 60:.0f} min of silence" in table
    assert f"silent for {bounds.crowded_seconds:.0f} s" in table
    assert f"{bounds.message_bytes >> 20} MiB a message" in table
    assert f"{bounds.entries:,} entries a message" in table
    assert f"{bounds.waiting_bytes >> 20} MiB of messages" in table
    assert f"waits {bounds.room_seconds:g} s for room" in table


def test_every_option_sets_something() -> None:
    names = {option.name for option in access_log.params if isinstance(option, click.Option)}
    set_by_others = {
        "lines_key",
        "max_streams",
        "metrics_listen",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "log_level",
        "log_format",
    }

    settings = {field.name for field in fields(AccessLogOptions)}
    assert names - set_by_others == settings - {"bounds", "metrics", "tls"}
