"""The audit trail and the ledger of a live service tell the same of who asks."""

from __future__ import annotations

from typing import Final

from cors_authz.edge.audit.options import AuditOptions, WriterOptions
from cors_authz.edge.audit.record import Recorder
from cors_authz.edge.ledger import Ledger
from cors_authz.edge.observation import Observation
from cors_authz.review.usage import Usage
from tests.deciding import NOW, ask, compiled, decided, preflight

POLICY: Final = compiled("""
    originGroups:
      web: {origins: ["https://shop.example"], trust: high}
      previews: {origins: ["https://pr-{digits}.shop.example"], trust: medium}
    resourceGroups:
      api:
        match: [{hosts: ["{tenant}.api.example", api.example]}]
        allow: [{origins: [web, previews], methods: [GET, POST], credentials: [cookie]}]
    """)
WEB, PREVIEW, EVIL = "https://shop.example", "https://pr-7.shop.example", "https://evil.example"
REQUESTS: Final = (
    ask("GET https://api.example/a", origin=WEB),
    ask("GET https://api.example/a?b=c", origin=WEB, cookie="a=b"),
    ask("POST https://acme.api.example/a", origin=WEB),
    ask("DELETE https://acme.api.example/a", origin=WEB),
    ask("GET https://acme.api.example/a", origin=PREVIEW),
    preflight("POST https://api.example/a", WEB),
    preflight("POST https://api.example/a", EVIL),
    ask("POST https://api.example/a", origin=EVIL),
    ask("POST https://api.example/a", origin="null"),
    ask("POST https://elsewhere.example/a", origin=EVIL),
    ask("GET https://api.example/a", origin="https://api.example"),
    ask("GET https://api.example/a"),
)


def test_the_trail_and_the_ledger_of_a_live_service_tell_the_same_of_who_asks() -> None:
    ledger, by_line, by_page = Ledger(lambda: NOW), Usage(NOW), Usage(NOW)
    recorder = Recorder(AuditOptions(writer=WriterOptions(targets=("-",))))
    for seconds, request in enumerate(REQUESTS):
        decision = decided(POLICY, request, now=NOW + seconds)
        by_line.read_line(recorder.line_of(Observation(decision, f"{seconds:032x}", (0.0, 0.1)), None))
        ledger.note(decision)
    by_page.read_page(ledger.page())
    assert by_page.rows == by_line.rows
    assert {who.origin for who in by_page.rows} == {WEB, PREVIEW, EVIL, "null"}
