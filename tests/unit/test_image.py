"""The Dockerfile keeps what docs/image.md promises of the image, and the builder is given the package alone."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

import click
import pytest

from cors_authz.cli.main import cli
from cors_authz.cli.serve import serve

# Beside the unpacked native wheel, names that begin with a dot are not linked.
ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "Dockerfile").read_text()
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Line(NamedTuple):
    """An instruction, and what follows it."""

    name: str
    rest: str


def _lines(text: str) -> list[Line]:
    """Split a Dockerfile into its instructions: comments left out, lines that go on joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [Line(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


LINES: Final = _lines(TEXT)
FROM: Final = [index for index, line in enumerate(LINES) if line.name == "FROM"]
BUILD: Final = LINES[FROM[0] : FROM[1]]
IMAGE: Final = LINES[FROM[1] :]


def _all(lines: list[Line], name: str) -> list[str]:
    return [line.rest for line in lines if line.name == name]


def _only(name: str) -> str:
    (found,) = _all(IMAGE, name)
    return found


def _pairs(name: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in _all(IMAGE, name) for pair in shlex.split(rest))


def _commands() -> list[str]:
    return [part.strip() for rest in _all(BUILD, "RUN") for part in rest.split("&&")]


# --- What runs --------------------------------------------------------------------------------------------------------


def test_both_stages_stand_on_one_base_whose_digest_a_release_fills_in() -> None:
    (default,) = _all(LINES[: FROM[0]], "ARG")
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+-slim-[a-z]+", default)
    assert _all(LINES, "FROM") == ["${BASE} AS build", "${BASE}"]


def test_the_image_runs_nothing_while_it_is_made_so_its_base_needs_no_shell() -> None:
    assert {line.name for line in IMAGE} == {
        "FROM",
        "ARG",
        "LABEL",
        "COPY",
        "ENV",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }


def test_everything_in_the_image_comes_from_the_build() -> None:
    assert _all(IMAGE, "COPY") == [
        "--from=build /opt/cors-authz /opt/cors-authz",
        "--from=build /build/sbom.cdx.json /usr/share/cors-authz/sbom.cdx.json",
    ]


def test_the_service_is_what_starts_without_a_shell() -> None:
    assert (json.loads(_only("ENTRYPOINT")), json.loads(_only("CMD"))) == (["cors-authz"], ["serve"])


def test_the_health_check_is_a_verb_with_time_to_spare() -> None:
    options, _, words = _only("HEALTHCHECK").partition(" CMD ")
    program, verb, *arguments = json.loads(words)
    timeout = re.search(r"--timeout=(\d+)s", options)
    assert isinstance(cli, click.Group)
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert timeout is not None

    assert program == "cors-authz"
    assert float(timeout[1]) > command.make_context(verb, arguments).params["timeout"]


def test_it_runs_as_nobody_and_ends_by_the_signal_that_drains() -> None:
    assert (_only("USER"), _only("STOPSIGNAL")) == ("65532:65532", "SIGTERM")


def test_what_it_sets_are_variables_of_serve_and_its_ports_are_those_that_it_names() -> None:
    ours = {name: value for name, value in _pairs("ENV").items() if name.startswith("CORS_AUTHZ_")}
    variables = {option.envvar: option.name for option in serve.params if isinstance(option, click.Option)}
    settings = {variables[name]: value for name, value in ours.items()}

    assert settings == {
        "listen": "0.0.0.0:9191",
        "metrics_listen": "0.0.0.0:8080",
        "policy_path": "/etc/cors-authz/policy",
    }
    assert _only("EXPOSE").split() == [settings[name].rpartition(":")[2] for name in ("listen", "metrics_listen")]


def test_byte_code_is_looked_for_where_the_build_puts_it_and_is_never_written() -> None:
    names = _pairs("ENV")
    (compiled,) = (command for command in _commands() if " compileall " in command)
    assert f"PYTHONPYCACHEPREFIX={names['PYTHONPYCACHEPREFIX']} " in compiled
    assert " --invalidation-mode unchecked-hash " in compiled
    assert names["PYTHONDONTWRITEBYTECODE"] == "1"


def test_its_labels_are_those_of_the_project() -> None:
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in _pairs("LABEL").items()}
    assert labels == {
        "title": PROJECT["name"],
        "description": labels["description"],
        "version": PROJECT["version"],
        "licenses": PROJECT["license"],
        "base.name": "${BASE}",
    }


# --- How it is built --------------------------------------------------------------------------------------------------


def test_nothing_is_installed_but_by_its_digest_or_from_what_was_built_here() -> None:
    installs = [command for command in _commands() if re.search(r"-m pip .*\b(install|wheel|download)\b", command)]
    assert len(installs) == 4
    assert [command for command in installs if not re.search(r" --(require-hashes|no-index) ", command)] == []
    assert "PIP_ONLY_BINARY=:all:" in _all(BUILD, "ENV")[0].split()


def test_the_wheel_is_the_native_one() -> None:
    (built,) = (command for command in _commands() if " wheel --no-build-isolation " in command)
    assert built.startswith("HATCH_BUILD_HOOKS_ENABLE=1 ")


def test_the_environment_holds_no_installer() -> None:
    made = [command for command in _commands() if " -m venv " in command]
    assert len(made) == 2
    assert all(" --without-pip " in command for command in made)


@pytest.mark.parametrize("word", ["ADD", "curl", "wget", "latest", "sudo", "chmod 777", "--trusted-host", "http://"])
def test_it_has_none_of_what_a_build_should_not(word: str) -> None:
    assert not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", "\n".join(" ".join(line) for line in LINES))


def test_the_builder_is_given_what_it_copies_and_nothing_else() -> None:
    copied = {word for rest in _all(BUILD, "COPY") for word in rest.split()[:-1]}
    rules = [rule for rule in (ROOT / ".dockerignore").read_text().splitlines() if rule and not rule.startswith("#")]
    given = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert rules[0] == "*"
    assert given == copied
    assert [name for name in given if not (ROOT / name).exists()] == []


# --- The document -----------------------------------------------------------------------------------------------------


def test_the_document_says_what_the_image_has() -> None:
    document = (ROOT / "docs" / "image.md").read_text()
    table = document.partition("## ")[0]
    words = [*_only("EXPOSE").split(), _only("USER"), _only("STOPSIGNAL"), *json.loads(_only("CMD"))]
    ours = [f"{name}={value}" for name, value in _pairs("ENV").items() if name.endswith("_LISTEN")]

    said = (*words, *ours, _pairs("ENV")["CORS_AUTHZ_POLICY"])
    assert [word for word in said if f"`{word}`" not in table] == []
    assert [path for path in (rest.split()[-1] for rest in _all(IMAGE, "COPY")) if f"`{path}`" not in document] == []
    assert f"cors-authz:{PROJECT['version']}" in document
