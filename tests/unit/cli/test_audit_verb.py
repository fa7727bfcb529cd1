"""`cors-authz audit`: what it says of files, in words and by its exit code."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cors_authz.cli.main import cli
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.audit.signing import HeadSigner
from cors_authz.edge.audit.writer import AuditWriter
from cors_authz.edge.settings_error import SettingsError
from cors_authz.review.audit.chain import Chain, Due
from tests.deciding import NOW

KEY: Final = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEY_ID: Final = HeadSigner(KEY).key_id


SIGNED: Final = "signed with a key that was given"


def audit(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


def private_pem(key: Any = KEY) -> bytes:  # noqa: ANN401 - any private key
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any = KEY) -> bytes:  # noqa: ANN401 - the same
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


class Trail(NamedTuple):
    """An audit file, and the keys of its heads."""

    file: Path
    private: Path
    public: Path


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    """Write five records with signed heads before and behind them."""
    trail = Trail(tmp_path / "log", tmp_path / "audit.key", tmp_path / "audit.pub")
    trail.private.write_bytes(private_pem())
    trail.public.write_bytes(public_pem())
    write(trail, *({"kind": "decision", "time": NOW, "number": number} for number in range(5)))
    return trail


def write(trail: Trail, *lines: dict[str, Any]) -> None:
    writer = AuditWriter(WriterOptions(targets=(str(trail.file),), key=trail.private), "w")
    for line in lines:
        writer.append(orjson.dumps(line) + b"\n", is_expendable=False)
    writer.stop()


# --- verify -----------------------------------------------------------------------------------------------------------


def test_what_is_whole_is_said_to_be(trail: Trail) -> None:
    result = audit("verify", "--public-key", trail.public, trail.file)
    assert (result.exit_code, result.output) == (0, f"whole: 5 records of 1 writer in 1 file, 2 heads (2 {SIGNED})\n")


def test_without_a_key_heads_are_said_to_be_no_proof(trail: Trail) -> None:
    result = audit("verify", trail.file)
    checked = "not checked for signatures: without --public-key, heads are no proof"
    assert (result.exit_code, result.output) == (
        0,
        f"whole: 5 records of 1 writer in 1 file, 2 heads ({checked})\n",
    )


def test_what_is_not_whole_is_told_by_line_and_exit_code(trail: Trail) -> None:
    lines = trail.file.read_bytes().splitlines(keepends=True)
    trail.file.write_bytes(b"".join([*lines[:2], *lines[3:5], lines[5].replace(b"4", b"5", 1)]) + b'{"kind":"dec')
    result = audit("verify", "--public-key", trail.public, trail.file)
    assert result.exit_code == 6
    assert result.output.splitlines() == [
        f"{trail.file}:3: removed: line 3 of its writer is missing before this one",
        f"{trail.file}:5: changed: this line is not what was written after {trail.file}:4, or that was changed",
        f"{trail.file}:6: note: a line was not ended: its writer was killed here, or the disk was full",
        f"{trail.file}:2: note: no head anchors 4 records of writer w from here on",
        "note: writer w has no end: it still runs, was killed, or its end was cut off",
        f"NOT whole: 4 records of 1 writer in 1 file, 1 head (1 {SIGNED})",
    ]


def test_heads_that_the_key_did_not_sign_do_not_count_as_signed(trail: Trail, tmp_path: Path) -> None:
    other = Trail(tmp_path / "other", tmp_path / "other.key", tmp_path / "other.pub")
    other.private.write_bytes(private_pem(Ed25519PrivateKey.from_private_bytes(b"o" * 32)))
    write(other, {"kind": "decision"})
    result = audit("verify", "--public-key", trail.public, trail.file, other.file)
    assert result.output.endswith(f"4 heads (2 {SIGNED})\n")


def test_losses_are_told_where_they_were_and_are_no_breach(trail: Trail) -> None:
    chain = Chain("v", None, 1, lost=343)
    with trail.file.open("ab") as file:
        file.writelines(chain.link([b'{"kind":"decision"}\n'], Due(first=True, end=True), NOW))
        chain.lost = 344
        file.writelines(chain.link([], Due(last=True, end=True), NOW))
    result = audit("verify", trail.file)
    since = "before this line, since its writer's last head"
    assert result.exit_code == 0
    assert result.output.splitlines()[:2] == [
        f"{trail.file}:8: note: 343 records were lost {since}",
        f"{trail.file}:11: note: 1 record was lost {since}",
    ]
    assert "whole: 6 records of 2 writers in 1 file, 344 lost, 5 heads" in result.output


def packed(trail: Trail) -> Path:
    file = trail.file.with_suffix(".gz")
    file.write_bytes(gzip.compress(trail.file.read_bytes()))
    return file


def test_a_compressed_file_is_read_as_any(trail: Trail) -> None:
    assert audit("verify", packed(trail)).output.startswith("whole: 5 records of 1 writer")
    write(trail, DECISION)
    assert audit("show", "--decision", "d1", packed(trail)).exit_code == 0


def test_a_compressed_file_that_ends_early_is_a_usage_error(trail: Trail) -> None:
    file = packed(trail)
    file.write_bytes(file.read_bytes()[:-20])
    result = audit("verify", file)
    assert result.exit_code == 2
    assert f"`{file}` cannot be read" in " ".join(result.output.split())


def test_a_beginning_that_is_elsewhere_is_told(trail: Trail) -> None:
    lines = trail.file.read_bytes().splitlines(keepends=True)
    trail.file.write_bytes(b"".join(lines[3:]))
    result = audit("verify", trail.file)
    assert result.exit_code == 0
    assert "note: writer w begins at its line 4: what came before is not in these files\n" in result.output
    assert f"{trail.file}:1: note: nothing proves this line: what came before is not in these files\n" in result.output
    assert audit("verify", "--public-key", trail.public, trail.file).exit_code == 6


def test_a_wrong_key_makes_it_not_whole(trail: Trail, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_bytes(public_pem(Ed25519PrivateKey.from_private_bytes(b"o" * 32)))
    result = audit("verify", "--public-key", other, trail.file)
    assert result.exit_code == 6
    assert f"{trail.file}:1: forged: this head is signed with key {KEY_ID}, which was not given\n" in result.output


def test_breaches_beyond_the_first_thousand_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"garbage\n" * 1234)
    result = audit("verify", file)
    assert (result.exit_code, "and 234 more\n" in result.output) == (6, True)


def test_a_line_of_many_megabytes_is_one_line(trail: Trail) -> None:
    trail.file.write_bytes(b"x" * (3 << 20) + b"\n" + trail.file.read_bytes())
    result = audit("verify", trail.file)
    assert [line for line in result.output.splitlines() if "foreign" in line] == [
        f"{trail.file}:1: foreign: no writer wrote this line: it is in no chain"
    ]


def test_an_empty_file_proves_nothing(trail: Trail) -> None:
    empty = trail.file.with_name("empty")
    empty.touch()
    note = f"{empty}: note: no line of a writer is in this file, so it proves nothing"
    result = audit("verify", empty)
    assert (result.exit_code, result.output.splitlines()[0]) == (0, note)
    assert "\nwhole: 0 records of 0 writers in 1 file" in result.output
    result = audit("verify", "--public-key", trail.public, empty)
    assert result.exit_code == 6
    assert result.output.splitlines() == [
        f"{empty}:1: removed: no line of a writer is in these files, so nothing is proven",
        note,
        f"NOT whole: 0 records of 0 writers in 1 file, 0 heads (0 {SIGNED})",
    ]
    assert audit("verify", "--public-key", trail.public, empty, trail.file).exit_code == 0


def test_a_file_of_any_name_is_named(tmp_path: Path) -> None:
    file = tmp_path / "\x1b\udcff.jsonl"
    file.touch()
    first = audit("verify", file).stdout.splitlines()[0]
    assert first == f"{tmp_path}/\\x1b\\udcff.jsonl: note: no line of a writer is in this file, so it proves nothing"


def test_a_file_that_is_not_there_and_no_file_are_usage_errors(tmp_path: Path) -> None:
    assert [audit("verify", tmp_path / "absent").exit_code, audit("verify").exit_code] == [2, 2]


NO_KEYS: Final = {
    "no PEM": (b"garbage", "is no public key in PEM; make one by `openssl pkey"),
    "a private key": (private_pem(), "is no public key in PEM; make one by `openssl pkey"),
    "another kind of key": (public_pem(generate_private_key(SECP256R1())), "is no Ed25519 key; make one by `openssl"),
}


@pytest.mark.parametrize(("pem", "told"), NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_public_key_is_a_usage_error(pem: bytes, told: str, trail: Trail) -> None:
    trail.public.write_bytes(pem)
    result = audit("verify", "--public-key", trail.public, trail.file)
    assert (result.exit_code, told in " ".join(result.output.split())) == (2, True)
    assert audit("verify", "--public-key", trail.public.with_name("absent"), trail.file).exit_code == 2


NO_PRIVATE_KEYS: Final = {
    "no PEM": (b"garbage", "is no private key in PEM without a password"),
    "a public key": (public_pem(), "is no private key in PEM without a password"),
    "another kind of key": (private_pem(generate_private_key(SECP256R1())), "is no Ed25519 key"),
    "nothing": (None, "cannot be read: No such file or directory"),
}


@pytest.mark.parametrize(("pem", "told"), NO_PRIVATE_KEYS.values(), ids=NO_PRIVATE_KEYS)
def test_what_is_no_private_key_is_told_at_the_start(pem: bytes | None, told: str, tmp_path: Path) -> None:
    if pem is not None:
        (tmp_path / "key").write_bytes(pem)
    with pytest.raises(SettingsError) as error:
        AuditWriter(WriterOptions(targets=("-",), key=tmp_path / "key"), "w")
    assert told in str(error.value)


def test_the_keys_that_openssl_makes_are_good(trail: Trail) -> None:
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(trail.private)]
    publish = ["openssl", "pkey", "-in", str(trail.private), "-pubout", "-out", str(trail.public)]
    for command in (make, publish):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no openssl")
    trail.file.unlink()
    write(trail, {"kind": "decision"})
    assert audit("verify", "--public-key", trail.public, trail.file).exit_code == 0


# --- show -------------------------------------------------------------------------------------------------------------

DECISION: Final = {
    "kind": "decision",
    "time": NOW,
    "decision_id": "d1",
    "request_id": "r1",
    "outcome": "deny",
    "reason": "role_missing",
    "status": 403,
    "shadow": True,
    "origin": "https://web.example",
    "origin_group": "web",
    "method": "PUT",
    "host": "api.example",
    "path": "/orders/{id}",
    "headers": {"content-type": "text/plain"},
    "roles": ["clerk"],
    "group": "api",
    "rule": "api/1",
    "guards": [{"name": "clerk", "verdict": "objects"}],
    "justification": {"text": "why", "at": "policy.yaml:7"},
    "injected": ["vary"],
    "revision": "r7",
    "latency_us": 42,
    "erased": ["query"],
}
AGAIN: Final = {
    **DECISION,
    "decision_id": "d2",
    "time": NOW + 1,
    "outcome": "allow",
    "reason": "rule_allowed",
    "status": 0,
}
DELIVERY: Final = {
    "kind": "delivery",
    "time": NOW - 1,
    "decision_id": "d2",
    "request_id": "r1",
    "status": 200,
    "flags": "",
    "details": "via_upstream",
    "duration_us": 1200,
    "verdicts": ["allow_origin_differs", "unchecked"],
    "manners": {"allow_origin_differs": "overwritten"},
    "decided": {"allow_origin": "https://web.example"},
    "delivered": {"allow_origin": "*"},
    "method": "PUT",
    "host": "api.example",
    "path": "/orders/7",
}
OTHER: Final = {**DECISION, "decision_id": "d3", "request_id": "r10"}


@pytest.fixture
def shown(trail: Trail) -> Trail:
    write(trail, AGAIN, OTHER, DELIVERY, DECISION, {**OTHER, "origin": "r1"})
    return trail


def ids(output: str) -> list[list[str]]:
    read = orjson.loads(output)
    return [[line["decision_id"] for line in read[name]] for name in ("decisions", "deliveries")]


@pytest.mark.parametrize("by", [("--request", "r1"), ("--decision", "d1"), ("--decision", "d2")])
def test_all_of_one_request_is_joined_in_the_order_of_time(by: tuple[str, str], shown: Trail) -> None:
    result = audit("show", *by, "-o", "json", shown.file)
    assert (result.exit_code, ids(result.output)) == (0, [["d1", "d2"], ["d2"]])


LONG: Final = "bae8450300000000"


@pytest.mark.parametrize("field", ["decision", "request"])
def test_an_id_may_be_told_by_its_beginning_where_no_other_has_it(field: str, trail: Trail) -> None:
    others = (f"{LONG}1", "bae8450311111111", f"x{LONG}", "\x07-is-long", "\x07-is-long-too")
    common = {**OTHER, "request_id": "", "tenant": LONG}
    write(trail, *({**common, f"{field}_id": each, "rule": each} for each in (*others, LONG)))

    def found(beginning: str) -> list[str]:
        result = audit("show", f"--{field}", beginning, "-o", "json", trail.file)
        return [line["rule"] for line in orjson.loads(result.stdout)["decisions"]] if not result.exit_code else []

    assert [found(LONG[:8]), found(LONG[:9]), found(LONG), found("bae845031"), found("bae8450")] == [
        [],
        [],
        [LONG],
        ["bae8450311111111"],
        [],
    ]
    told = " ".join(audit("show", f"--{field}", LONG[:8], trail.file).stderr.split())
    assert f"`bae84503` is the beginning of several: {LONG}1, bae8450311111111, {LONG}; write more of it" in told
    assert "\\x07-is-long-too" in audit("show", f"--{field}", "\x07-is-lon", trail.file).stderr


def test_a_line_that_stands_in_two_files_is_told_once(shown: Trail, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(shown.file.read_bytes())
    assert ids(audit("show", "--request", "r1", "-o", "json", copy, shown.file).output) == [["d1", "d2"], ["d2"]]


def test_a_decision_without_a_request_id_is_shown_alone(trail: Trail) -> None:
    write(trail, {**DECISION, "request_id": "", "decision_id": "d9"})
    assert ids(audit("show", "--decision", "d9", "-o", "json", trail.file).output) == [["d9"], []]


def test_a_request_is_told_in_words(shown: Trail) -> None:
    result = audit("show", "--request", "r1", shown.file)
    assert result.output.splitlines()[:18] == [
        "2 decisions, 1 delivery",
        "",
        "2027-01-15T08:00:00.000+00:00  decision d1: deny, role_missing, status 403, in shadow: not applied",
        "  request        PUT api.example/orders/{id} from https://web.example (web)",
        "  group          api",
        "  rule           api/1",
        "  revision       r7",
        "  justification  policy.yaml:7 why",
        "  guard          clerk: objects",
        "  header         content-type: text/plain",
        "  roles          clerk",
        "  injected       vary",
        "  erased         query",
        "  took           42 µs",
        "",
        "2027-01-15T08:00:01.000+00:00  decision d2: allow, rule_allowed, in shadow: not applied",
        "  request        PUT api.example/orders/{id} from https://web.example (web)",
        "  group          api",
    ]
    assert result.output.splitlines()[-8:] == [
        "",
        "2027-01-15T07:59:59.000+00:00  delivery of d2: allow_origin_differs (overwritten), unchecked",
        "  request        PUT api.example/orders/7",
        "  status         200",
        "  details        via_upstream",
        "  duration_us    1200",
        "  decided        allow_origin: https://web.example",
        "  delivered      allow_origin: *",
    ]


def test_what_a_client_sent_does_not_steer_the_terminal(trail: Trail) -> None:
    write(trail, {**DECISION, "origin": "\x1b[2J\x07\u202e", "request_id": "r5"})
    output = audit("show", "--request", "r5", trail.file).output
    assert "from \\x1b[2J\\x07\\u202e (web)" in output
    assert output.replace("\n", "").isprintable()


def test_nor_does_it_as_json(trail: Trail) -> None:
    origin = "\x1b\x7f\x9b31m\u202e\U000e0001é\n"
    write(trail, {**DECISION, "origin": origin, "request_id": "r5"})
    output = audit("show", "--request", "r5", "-o", "json", trail.file).output
    assert output.replace("\n", "").isprintable()
    assert "é" in output
    assert [line["origin"] for line in orjson.loads(output)["decisions"]] == [origin]


ODD: Final = (
    *(
        b'"%b":%b' % (name, value)
        for value in (b"5", b"null", b'"x"', b"[1]", b"[{}]", b"[[]]", b'{"a":1}', b"true")
        for name in (
            b"guards",
            b"headers",
            b"claims",
            b"justification",
            b"roles",
            b"injected",
            b"verdicts",
            b"manners",
            b"decided",
            b"time",
            b"origin",
            b"status",
            b"latency_us",
        )
    ),
    b'"time":1e400',
    b'"headers":' + b"[" * 400 + b"]" * 400,
)


@pytest.mark.parametrize("kind", ["decision", "delivery"])
def test_a_line_of_odd_types_breaks_nothing(kind: str, trail: Trail) -> None:
    for odd in ODD:
        good = b'{"kind":"decision","decision_id":"d7","request_id":"r7"}\n'
        trail.file.write_bytes(good + b'{"kind":"%b","request_id":"r7",%b}\n' % (kind.encode(), odd))
        for form in ("text", "json"):
            result = audit("show", "--request", "r7", "-o", form, trail.file)
            assert (result.exit_code, "d7" in result.output) == (0, True), (odd, result.exception)


def test_an_id_that_is_no_text_is_of_no_line(trail: Trail) -> None:
    result = audit("show", "--request", "\udc80", trail.file)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)


def test_lines_that_are_damaged_are_passed_over(trail: Trail) -> None:
    write(trail, DECISION)
    damaged = [b'"r1"\n', b'["r1"]\n', b'{"request_id":"r1"\n', b'{"request_id":"r1","kind":"decision","time":"x"}\n']
    with trail.file.open("ab") as file:
        file.writelines(damaged)
    result = audit("show", "--request", "r1", "-o", "json", trail.file)
    assert [line.get("decision_id") for line in orjson.loads(result.output)["decisions"]] == [None, "d1"]
    assert audit("show", "--request", "r1", trail.file).exit_code == 0


def test_so_many_lines_of_one_request_are_shown_and_the_others_counted(trail: Trail) -> None:
    lines = [orjson.dumps({"kind": "decision", "request_id": "r1", "number": number}) for number in range(1010)]
    trail.file.write_bytes(b"\n".join([*lines, *lines[:5]]))
    read = orjson.loads(audit("show", "--request", "r1", "-o", "json", trail.file).output)
    assert (len(read["decisions"]), read["left_out"]) == (1000, 10)
    assert "10 more were left out" in audit("show", "--request", "r1", trail.file).output


def test_what_is_not_there_is_told(trail: Trail) -> None:
    result = audit("show", "--request", "r404", trail.file)
    assert (result.exit_code, result.output) == (1, "Error: no line of these files is of `r404`\n")


def test_one_id_is_asked_for(trail: Trail) -> None:
    both = audit("show", "--request", "r", "--decision", "d", trail.file)
    assert (both.exit_code, audit("show", trail.file).exit_code) == (2, 2)
    assert "name one: --request ID, or --decision ID" in both.output


def test_help_says_what_the_exit_codes_are() -> None:
    os.environ.pop("COLUMNS", None)
    assert "Exit codes: 0 whole, 2 usage, 6 not whole." in audit("verify", "--help").output
