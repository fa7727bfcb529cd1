"""`check`: what it prints in each form, byte for byte, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from cors_authz import __version__
from cors_authz.cli.main import cli

GOOD = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  web: {origins: ["https://shop.example"], trust: high, contact: web@shop.example}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web], methods: [GET]}
"""
WARNED = GOOD.replace("[GET]}", '[GET], headers: ["*"]}')
SUPPRESSED = WARNED + (
    "suppressions:\n- {finding: CX011, at: resourceGroups/api, reason: any will do, by: ada, until: 9999-12-31}\n"
)
BAD = GOOD.replace("https://shop.example", "null")


def check(policy: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["check", str(policy), *options], env={"CORS_AUTHZ_ENVIRONMENT": "moon"})


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


class Ends(NamedTuple):
    """A policy, options, and the exit code."""

    text: str
    options: tuple[str, ...]
    code: int


ENDS = {
    "a policy that loads": Ends(GOOD, (), 0),
    "a policy with an error": Ends(BAD, (), 3),
    "an error that is not shown still counts": Ends(BAD, ("--show", "error"), 3),
    "a warning": Ends(WARNED, (), 0),
    "a warning that shall fail": Ends(WARNED, ("--fail-on", "warning"), 3),
    "a warning that shall fail and is not shown": Ends(WARNED, ("--fail-on", "warning", "--show", "error"), 3),
    "a suppressed warning does not fail": Ends(SUPPRESSED, ("--fail-on", "warning"), 0),
    "no YAML": Ends("a: [", (), 3),
    "an environment that is not declared": Ends(GOOD, ("--environment", "moon"), 2),
    "a form that is none": Ends(GOOD, ("--format", "xml"), 2),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_how_it_ends(case: Ends, policy: Path) -> None:
    policy.write_text(case.text)
    assert check(policy, *case.options).exit_code == case.code


def test_what_cannot_be_read_is_a_usage_error(policy: Path) -> None:
    result = check(policy)
    assert result.exit_code == 2
    assert f"`{policy}` does not exist" in result.stderr


def test_an_unknown_environment_lists_the_declared_ones(policy: Path) -> None:
    policy.write_text(GOOD + "environments: {prod-eu: {like: prod}, uat: {like: staging}}\n")
    said = check(policy, "--environment", "prod").stderr
    assert "the policy declares no environment `prod`; it declares prod-eu, uat" in said


def test_text_says_place_code_and_severity_and_sums_up(policy: Path) -> None:
    policy.write_text(BAD)
    result = check(policy)
    assert result.stdout == (
        "policy.yaml:5:19: CX002 `null` is the origin of every sandbox, redirect and local file, so it names nobody;"
        " serve the page from an origin of its own\n"
    )
    assert result.stderr == "would not load: 1 error, 0 warnings, 0 info\n"


def test_the_sum_counts_in_the_right_number(policy: Path) -> None:
    policy.write_text(BAD.replace("null", 'null", "null').replace("[GET]}", '[GET], headers: ["*"]}'))
    assert check(policy).stderr == "would not load: 2 errors, 1 warning, 1 info\n"


def test_the_help_says_how_it_ends() -> None:
    said = " ".join(CliRunner().invoke(cli, ["--help"]).stdout.split())
    assert (
        "Exit codes: 0 ok, 1 internal, 2 usage, 3 invalid policy, 6 drift, findings, or a broken audit trail." in said
    )
    assert " check parse and lint a policy demo " in said


def test_text_marks_what_is_suppressed(policy: Path) -> None:
    policy.write_text(SUPPRESSED)
    (line,) = check(policy).stdout.splitlines()
    assert line.startswith("policy.yaml:11:")
    assert line.endswith(" [warning] [suppressed]")


def test_json_is_a_list_of_whole_findings(policy: Path) -> None:
    policy.write_text(BAD)
    assert json.loads(check(policy, "--format", "json").stdout) == [
        {
            "code": "CX002",
            "severity": "error",
            "file": "policy.yaml",
            "line": 5,
            "column": 19,
            "text": (
                "`null` is the origin of every sandbox, redirect and local file, so it names nobody; serve the page"
                " from an origin of its own"
            ),
            "about": "originGroups/web",
            "suppressed": False,
        }
    ]


def test_json_of_nothing_is_an_empty_list(policy: Path) -> None:
    policy.write_text(GOOD)
    result = check(policy, "--format", "json")
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_github_names_the_file_from_where_the_command_ran_and_escapes(policy: Path) -> None:
    folder = policy.parent / "a,b:c%"
    folder.mkdir()
    (folder / "p.yaml").write_text(BAD)
    said = check(folder, "--format", "github").stdout
    file = (folder / "p.yaml").as_posix().replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    assert said == (
        f"::error file={file},line=5,col=19,title=CX002::`null` is the origin of every sandbox, redirect and local"
        " file, so it names nobody; serve the page from an origin of its own\n"
    )


def test_github_keeps_a_text_of_several_lines_on_one(policy: Path) -> None:
    policy.write_text(GOOD.replace("https://shop.example", "https://a\\r\\n::error::b"))
    assert len(check(policy, "--format", "github").stdout.splitlines()) == 1


def test_a_file_of_any_name_is_named_in_each_form(policy: Path) -> None:
    folder = policy.parent / "odd"
    folder.mkdir()
    (folder / "\udcff.yaml").write_text(WARNED)
    told = {form: check(folder, "--format", form).stdout for form in ("text", "json", "sarif", "github")}
    (location,) = json.loads(told["sarif"])["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == f"{folder.as_posix()}/%FF.yaml"
    assert json.loads(told["json"])[0]["file"] == "\udcff.yaml"
    assert told["text"].startswith("\\udcff.yaml:11:")
    assert told["github"].startswith(f"::warning file={folder.as_posix()}/\\udcff.yaml,line=11,")


def test_sarif_is_whole(policy: Path) -> None:
    folder = policy.parent / "a b"
    folder.mkdir()
    (folder / "p.yaml").write_text(SUPPRESSED)
    log = json.loads(check(folder, "--format", "sarif").stdout)
    (run,) = log["runs"]
    assert (log["version"], run["tool"]["driver"]["version"]) == ("2.1.0", __version__)
    assert run["tool"]["driver"]["rules"] == [{"id": "CX011"}]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"], result["suppressions"]) == ("CX011", "warning", [{"kind": "inSource"}])
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == f"{policy.parent.as_posix()}/a%20b/p.yaml"
    assert location["physicalLocation"]["region"]["startLine"] == 11
