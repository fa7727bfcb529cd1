"""docs/tracing.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from cors_authz.edge.observation import STAGES
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.batches import STOP_SECONDS, BatchOptions
from cors_authz.edge.tracing.sampling import sampler_of
from cors_authz.edge.tracing.spans import ATTRIBUTES, CHECK_EVENT, GUARD_EVENT, NAME, STAGE_EVENT, VERDICT
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, bootstrap
from cors_authz.pdp.steps import Verdict

HERE: Final = Address("127.0.0.1", 1)
TEXT: Final = (Path(__file__).parents[3] / "docs" / "tracing.md").read_text()


def test_the_table_of_attributes_is_that_of_the_code() -> None:
    table = TEXT.partition("<!-- attributes -->\n")[2].partition("<!-- /attributes -->")[0]
    rows = [f"| `{name}` | {text} |" for name, text in ATTRIBUTES.items()]
    assert table.splitlines() == ["| attribute | what it says |", "|---|---|", *rows]
    assert f"Its name is `{NAME}`" in TEXT


def test_the_events_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(cors_authz\.\w+)` \| `\1`", TEXT, re.MULTILINE)
    assert rows == [STAGE_EVENT, CHECK_EVENT, GUARD_EVENT]
    assert f"`{STAGE_EVENT}`: " + ", ".join(f"`{stage}`" for stage in STAGES) in TEXT
    assert TEXT.count(f"`{VERDICT}`") == 2
    assert "A verdict is `{}`, `{}` or `{}`.".format(*(verdict.value for verdict in Verdict)) in TEXT


def test_the_samplers_are_those_of_the_code() -> None:
    section = TEXT.partition("## Parent and sampling")[2].partition("## ")[0]
    told = set(re.findall(r"^\| `([a-z_]+)`", section, re.MULTILINE))
    with pytest.raises(SettingsError) as refused:
        sampler_of({"OTEL_TRACES_SAMPLER": "?"})
    assert told == set(str(refused.value).partition("one of ")[2].split(", "))


def test_envoys_tracer_is_that_of_the_bootstrap() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    traced, untraced = _bootstrap(Options(tracing=HERE)), _bootstrap(Options())
    assert (_tracing(traced), _tracing(untraced)) == (yaml.safe_load(block)["tracing"], None)
    assert _clusters(traced) - _clusters(untraced) == {"tracing"}


def _bootstrap(options: Options) -> Config:
    return bootstrap(HERE, [HERE], HERE, HERE, options)


def _tracing(config: Config) -> object:
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager.get("tracing")


def _clusters(config: Config) -> set[str]:
    return {cluster["name"] for cluster in config["static_resources"]["clusters"]}


def test_the_bounds_are_those_of_the_code() -> None:
    options = BatchOptions()
    assert f"`OTEL_BSP_MAX_QUEUE_SIZE` | how many spans may wait; {options.waiting} |" in TEXT
    assert f"`OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | how many are sent at once; {options.batch} |" in TEXT
    assert f"in milliseconds; {options.delay_seconds * 1000:.0f} |" in TEXT
    assert STOP_SECONDS == 2
