"""The documents keep what they promise: complete lists, links that lead somewhere, policies that load."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pytest
import yaml

from cors_authz.cli.main import cli
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS, bootstrap
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decide import CHECKS
from cors_authz.pdp.decision import NO_CONTENT, Objection, Outcome, Reason
from cors_authz.pdp.reasons import WORDS
from cors_authz.pdp.response import GROUP_HEADER, ID_HEADER, ROLES_HEADER, TENANT_HEADER, VERSION_HEADER
from cors_authz.policy.document import Source
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.load import check_policy

ROOT: Final = Path(__file__).parents[3]
README: Final = ROOT / "README.md"
DOCS: Final = {path.relative_to(ROOT).as_posix(): path for path in (README, *sorted((ROOT / "docs").glob("*.md")))}

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WHOLE: Final = "apiVersion: "
_HEAD: Final = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: example}\n"


class Block(NamedTuple):
    """A fenced block: the language after its fence, and its text."""

    language: str
    text: str

    @property
    def is_whole(self) -> bool:
        """Whether the block is a policy by itself."""
        return self.text.startswith(_WHOLE) and "kind: PolicyBundle" in self.text


def _blocks(markdown: str) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(markdown)]


def _sections(path: Path) -> dict[str, str]:
    """Split a document at its headings of the second level; the text before the first is under the empty heading."""
    parts = re.split(r"^## (.*)\n", path.read_text(), flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def _check(*texts: str) -> tuple[Finding, ...]:
    return check_policy([Source(f"{index}.yaml", text.encode()) for index, text in enumerate(texts)])


def _said(findings: tuple[Finding, ...], *severities: Severity) -> list[str]:
    return [str(finding) for finding in findings if finding.severity in severities]


# --- Policies ---------------------------------------------------------------------------------------------------------

YAML: Final = {
    f"{name} block {index}": block
    for name, path in DOCS.items()
    for index, block in enumerate(_blocks(path.read_text()), 1)
    if block.language == "yaml"
}
POLICIES: Final = {name: block for name, block in YAML.items() if block.is_whole and "findings.md" not in name}


@pytest.mark.parametrize("block", YAML.values(), ids=YAML)
def test_every_yaml_block_parses(block: Block) -> None:
    assert all(isinstance(document, dict | list) for document in yaml.safe_load_all(block.text))


@pytest.mark.parametrize("block", POLICIES.values(), ids=POLICIES)
def test_every_whole_policy_loads_without_a_warning(block: Block) -> None:
    assert _said(_check(block.text), Severity.ERROR, Severity.WARNING) == []


def test_readme_and_language_reference_show_a_whole_policy() -> None:
    assert {name.partition(" ")[0] for name in POLICIES} >= {"README.md", "docs/policy.md"}


def test_the_fragments_of_the_language_reference_are_one_policy() -> None:
    blocks = _blocks((ROOT / "docs" / "policy.md").read_text())
    fragments = [block.text for block in blocks if block.language == "yaml" and not block.is_whole]
    assert _said(_check(_HEAD + "".join(fragments)), Severity.ERROR) == []


# --- Findings ---------------------------------------------------------------------------------------------------------

FINDINGS: Final = _sections(ROOT / "docs" / "findings.md")
EMITTED: Final = {
    code
    for module in (ROOT / "cors_authz" / "policy").rglob("*.py")
    for code in re.findall(r'"(CX\d{3})"', module.read_text())
}
BY_CODE: Final = {heading[:5]: text for heading, text in FINDINGS.items() if heading.startswith("CX")}
PART, PEOPLE = (block.text for block in _blocks(FINDINGS[""])[1:])
_WORDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "info"}


def _findings_of(fragment: str) -> tuple[Finding, ...]:
    if fragment.startswith(_WHOLE):
        return _check(fragment)
    return _check(_HEAD + (PEOPLE if "exceptions:" in fragment else "") + fragment, PART)


def test_each_finding_of_the_code_has_its_section_and_no_other_does() -> None:
    assert sorted(BY_CODE) == sorted(EMITTED)
    assert len(BY_CODE) == sum(heading.startswith("CX") for heading in FINDINGS)


@pytest.mark.parametrize("code", sorted(EMITTED))
def test_the_wrong_fragment_raises_the_finding_in_a_severity_that_the_section_names(code: str) -> None:
    section = BY_CODE[code]
    severity = section.strip().partition("\n")[0]
    raised = {finding.severity for finding in _findings_of(_blocks(section)[0].text) if finding.code == code}
    assert severity.startswith("Severity: ")
    assert raised
    assert all(_WORDS[each] in severity for each in raised)


@pytest.mark.parametrize("code", sorted(EMITTED))
def test_the_right_fragment_loads_without_the_finding(code: str) -> None:
    findings = _findings_of(_blocks(BY_CODE[code])[1].text)
    assert [str(finding) for finding in findings if finding.code == code] == []
    assert _said(findings, Severity.ERROR) == []


@pytest.mark.parametrize("code", sorted(EMITTED))
def test_what_is_an_error_only_is_said_to_stay(code: str) -> None:
    severity = BY_CODE[code].strip().partition("\n")[0]
    assert (severity == "Severity: error. Cannot be suppressed.") == (severity.split(".")[0] == "Severity: error")


# --- Reasons ----------------------------------------------------------------------------------------------------------

REASONS: Final = _sections(ROOT / "docs" / "reasons.md")
_ALLOWED: Final = frozenset(reason for reason, words in WORDS.items() if not words.mend)
_HELPED: Final = ("Front-end developer: ", "API team: ", "Platform engineer: ")


def _status_line(reason: Reason) -> str:
    if reason is Reason.PREFLIGHT_ALLOWED:
        return f"Status: {NO_CONTENT}."
    return "Status: the upstream's." if reason in _ALLOWED else f"Status: {Objection(reason).status}."


def test_each_reason_has_its_section_and_no_other_does() -> None:
    named = [heading.strip("`") for heading in REASONS if heading.startswith("`")]
    assert sorted(named) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_the_section_of_a_reason_says_its_status(reason: Reason) -> None:
    assert REASONS[f"`{reason.value}`"].strip().startswith(_status_line(reason))


@pytest.mark.parametrize("reason", sorted(set(Reason) - _ALLOWED, key=str), ids=lambda reason: reason.value)
def test_each_refusal_says_who_can_mend_it_and_how(reason: Reason) -> None:
    section = REASONS[f"`{reason.value}`"]
    assert [who for who in _HELPED if f"\n- {who}" not in section] == []


# --- Decisions --------------------------------------------------------------------------------------------------------

DECISION: Final = _sections(ROOT / "docs" / "decision.md")


def _first_cells(section: str) -> list[str]:
    """The first column of a section's only table, without its head; a cell may name several things."""
    rows = re.findall(r"^\| ([^|]*) \|", section, flags=re.MULTILINE)[1:]
    return [name.strip("`") for cell in rows for name in cell.split(", ")]


def test_the_order_of_objections_is_that_of_the_code() -> None:
    assert _first_cells(DECISION["The order of objections"]) == [check.name for check in CHECKS]


def test_kinds_and_outcomes_are_those_of_the_code() -> None:
    kinds = [name.replace(" ", "-") for name in _first_cells(DECISION["Kinds of request"])]
    assert sorted(kinds) == sorted(kind.value for kind in Kind)
    assert sorted(_first_cells(DECISION["Answers"])) == sorted(outcome.value for outcome in Outcome)


def test_the_headers_to_the_upstream_are_those_of_the_code() -> None:
    assert _first_cells(DECISION["To the upstream"]) == [
        ID_HEADER,
        GROUP_HEADER,
        TENANT_HEADER,
        VERSION_HEADER,
        ROLES_HEADER,
    ]


# --- Envoy ------------------------------------------------------------------------------------------------------------


ENVOY: Final = _sections(ROOT / "docs" / "envoy.md")


def _manager() -> dict[str, Any]:
    loopback = Address("127.0.0.1", 0)
    listener = bootstrap(loopback, [loopback], loopback, loopback)["static_resources"]["listeners"][0]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def test_the_settings_for_envoy_are_those_that_the_tests_run() -> None:
    texts = [block.text for block in _blocks((ROOT / "docs" / "envoy.md").read_text())]
    ext_authz, manager, host = (yaml.safe_load(text) for text in texts[:3])
    run = _manager()
    [filter_run] = (each for each in run["http_filters"] if each["name"] == ext_authz["name"])
    assert filter_run["typed_config"] | ext_authz["typed_config"] == filter_run["typed_config"]
    assert run | manager == run
    assert host == {"response_headers_to_remove": list(CORS_RESPONSE_HEADERS)}


def _authz_cluster(*ports: int) -> dict[str, Any]:
    loopback = Address("127.0.0.1", 0)
    instances = [Address("127.0.0.1", port) for port in ports]
    cluster: dict[str, Any] = bootstrap(loopback, instances, loopback, loopback)["static_resources"]["clusters"][0]
    return cluster


def test_the_cluster_and_the_endpoints_of_several_workers_are_those_that_the_tests_run() -> None:
    cluster, workers = (yaml.safe_load(_blocks(ENVOY[name])[0].text) for name in ("The cluster", "Several workers"))
    assert cluster == _authz_cluster(9191)
    assert cluster["load_assignment"] | workers == _authz_cluster(9191, 9192, 9193)["load_assignment"]


# --- Operating --------------------------------------------------------------------------------------------------------

_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")


def test_readme_says_how_many_bounds_are_met() -> None:
    rows = re.findall(r"^\|.* \| (want|must|missed) \|$", (ROOT / "docs" / "performance.md").read_text(), re.MULTILINE)
    missed = rows.count("missed")
    words = [_NUMBERS[number] for number in (len(rows), len(rows) - missed, missed)]
    said = "Of the {} bounds that this project set itself, {} are met and {} are missed.".format(*words)
    assert said in " ".join(README.read_text().split())


# --- Links ------------------------------------------------------------------------------------------------------------


def _anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", markdown), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links() -> Iterator[tuple[str, str]]:
    for name, path in DOCS.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", path.read_text())):
            if not target.startswith("https://"):
                yield name, target


@pytest.mark.parametrize(("name", "target"), list(_links()))
def test_a_relative_link_leads_somewhere(name: str, target: str) -> None:
    file, _, anchor = target.partition("#")
    led = (DOCS[name].parent / file).resolve() if file else DOCS[name]
    assert led.exists()
    assert not anchor or anchor in _anchors(led.read_text())


# --- Command lines ----------------------------------------------------------------------------------------------------

_COMMAND: Final = re.compile(r"^(?: {4}|\$ )?cors-authz ([a-z].*)$", re.MULTILINE)
_INLINE: Final = re.compile(r"`(?:cors-authz )?([a-z]+ --?[^`]*)`|`cors-authz ([^`]+)`")


def _flags(words: list[str]) -> set[str]:
    """Name the flags of a verb; where it is a group, of the verb in it that the next word names."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, word
        command = found
    return {flag for parameter in command.params for flag in parameter.opts} | {"-h", "--help"}


COMMANDS: Final = sorted(
    {
        (name, line)
        for name, path in DOCS.items()
        for line in (
            *_COMMAND.findall(path.read_text()),
            *("".join(found) for found in _INLINE.findall(_FENCE.sub("", path.read_text()))),
        )
    }
)


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_a_verb_and_its_flags_exist(name: str, line: str) -> None:
    words = shlex.split(line.partition(" # ")[0].partition(" > ")[0].replace("…", ""))
    assert isinstance(cli, click.Group)
    assert words[0] in cli.list_commands(click.Context(cli)), name
    flags = {word.partition("=")[0] for word in words[1:] if re.match(r"-{1,2}[A-Za-z]", word)}
    assert not flags or flags <= _flags(words)


def test_command_lines_are_found_at_all() -> None:
    assert {line.split()[0] for _, line in COMMANDS} >= {"check", "explain", "inspect", "fmt", "schema", "serve"}
