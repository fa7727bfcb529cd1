"""The canonical form: one for every layout of a policy, another for every other policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz.edge.policy_files import read_sources
from cors_authz.policy.canonical import canonical, revision_of
from cors_authz.policy.document import Source, read_documents

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
TEXT = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p, review: {last: 2026-11-02, every: 90d}}
environments: {prod: {like: prod}, uat: {like: staging}}
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web], methods: [GET], maxAge: 60m}
rollout:
  shadow: 1h
  steps: [{enforce: 5.5%, for: 30m}, {enforce: 100%}]
"""
PART = """\
apiVersion: cors-authz/v1
kind: PolicyPart
metadata: {name: q, owner: shop}
originGroups:
  more: {origins: ["https://more.example"], trust: low}
"""


def revision(*texts: str) -> str:
    documents, findings = read_documents([Source(f"{n}.yaml", text.encode()) for n, text in enumerate(texts)])
    assert findings == ()
    return revision_of(documents)


SAME = {
    "comments and blank lines": ("kind:", "# why\n\nkind:"),
    "block style": ("{name: p,", "{\n  name: p,\n"),
    "quotes": ("name: p", "name: 'p'"),
    "another unit": ("60m", "1h"),
    "a date as an instant": ("2026-11-02", "2026-11-02T00:00:00Z"),
    "a percentage with zeros": ("5.5%", "5.50%"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_layout_does_not_change_the_revision(old: str, new: str) -> None:
    assert old in TEXT
    assert revision(TEXT.replace(old, new, 1)) == revision(TEXT)


OTHER = {
    "a name": ("name: p", "name: q"),
    "an origin": ("https://shop.example", "https://shop2.example"),
    "a trust": ("trust: high", "trust: medium"),
    "a duration": ("60m", "61m"),
    "a duration by a little": ("60m", "3599s"),
    "a date": ("2026-11-02", "2026-11-03"),
    "an instant by a second": ("2026-11-02", "2026-11-02T00:00:01Z"),
    "a percentage by a thousandth": ("5.5%", "5.501%"),
    "one more origin": ('["https://shop.example"]', '["https://shop.example", "https://b.example"]'),
    "one key less": (", trust: high", ""),
    "another name of a group": ("  api:", "  api2:"),
}


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER)
def test_a_changed_value_changes_the_revision(old: str, new: str) -> None:
    assert old in TEXT
    assert revision(TEXT.replace(old, new)) != revision(TEXT)


def test_files_and_documents_may_be_cut_and_ordered_anyhow() -> None:
    assert revision(TEXT, PART) == revision(PART, TEXT) == revision(f"{TEXT}---\n{PART}") != revision(TEXT)


def test_the_form_is_plain_data_in_the_one_way_to_write_it() -> None:
    documents, _ = read_documents([Source("p.yaml", TEXT.encode())])
    (plain,) = canonical(documents)
    assert plain["metadata"] == {"name": "p", "review": {"every": "90d", "last": "2026-11-02T00:00:00Z"}}
    assert plain["rollout"] == {"shadow": "1h", "steps": [{"enforce": "5.5%", "for": "30m"}, {"enforce": "100%"}]}
    assert plain["resourceGroups"]["api"]["allow"] == [{"maxAge": "1h", "methods": ["GET"], "origins": ["web"]}]


DURATIONS = {
    "0s": "0s", "1ms": "1ms", "1000ms": "1s", "90s": "90s", "120s": "2m", "90m": "90m", "24h": "1d", "25h": "25h",
}  # fmt: skip


@pytest.mark.parametrize(("written", "then"), DURATIONS.items(), ids=DURATIONS)
def test_a_duration_is_written_in_its_largest_whole_unit(written: str, then: str) -> None:
    documents, _ = read_documents([Source("p.yaml", TEXT.replace("maxAge: 60m", f"maxAge: {written}").encode())])
    (plain,) = canonical(documents)
    assert plain["resourceGroups"]["api"]["allow"] == [{"maxAge": then, "methods": ["GET"], "origins": ["web"]}]


def shuffled(data: st.DataObject, value: Any) -> Any:  # noqa: ANN401 - any YAML
    if isinstance(value, dict):
        return {key: shuffled(data, value[key]) for key in data.draw(st.permutations(list(value)))}
    return [shuffled(data, item) for item in value] if isinstance(value, list) else value


@given(st.data())
@settings(max_examples=25)
def test_the_order_of_keys_does_not_change_the_revision(data: st.DataObject) -> None:
    plain = yaml.load(TEXT, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts alone
    assert revision(yaml.safe_dump(shuffled(data, plain), sort_keys=False)) == revision(TEXT)


@pytest.mark.parametrize("path", sorted(REFERENCE.iterdir()), ids=lambda path: path.stem)
def test_the_canonical_form_is_itself_the_policy(path: Path) -> None:
    documents, _ = read_documents(read_sources(path))
    written = [Source(f"{n}.yaml", yaml.safe_dump(plain).encode()) for n, plain in enumerate(canonical(documents))]
    again, findings = read_documents(written)
    assert findings == ()
    assert canonical(again) == canonical(documents)
