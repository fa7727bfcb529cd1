"""TLS: who is served, who must show a certificate, and certificates that change while we serve."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import CHECK_METHOD, Tls, TransportError, TransportOptions
from tests.contract.transports import TIMEOUT, Ended, Running, backwards, serve, until

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


class Identity(NamedTuple):
    """A key and its certificate in PEM."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def key_pem(self) -> bytes:
        """Give the key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def pem(self) -> bytes:
        """Give the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def issue(name: str, issuer: Identity | None = None) -> Identity:
    """Issue a certificate; without an issuer it is an authority that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return Identity(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


AUTHORITY, OTHER_AUTHORITY = issue("authority"), issue("another authority")
SERVER, CALLER, STRANGER = issue("authz", AUTHORITY), issue("envoy", AUTHORITY), issue("envoy", OTHER_AUTHORITY)


def write(folder: Path, identity: Identity) -> Tls:
    """Write a server's certificate and key as a rotation does: beside, and then renamed."""
    for name, content in (("key.pem", identity.key_pem()), ("cert.pem", identity.pem())):
        (folder / "new").write_bytes(content)
        (folder / "new").rename(folder / name)
    return Tls(folder / "cert.pem", folder / "key.pem")


def check(running: Running, authority: Identity, caller: Identity | None = None) -> bytes | Ended:
    """Ask for a check over a new TLS connection."""
    credentials = grpc.ssl_channel_credentials(
        authority.pem(), caller.key_pem() if caller else None, caller.pem() if caller else None
    )
    options = [("grpc.ssl_target_name_override", "authz"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(running.address, credentials, options=options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        try:
            return call(b"ab", timeout=TIMEOUT)
        except grpc.RpcError as error:
            return Ended(error.code(), "")


UNAVAILABLE = Ended(grpc.StatusCode.UNAVAILABLE, "")


def test_a_caller_that_trusts_the_certificate_is_answered_and_one_in_the_clear_is_not(
    make: Maker, address: str, tmp_path: Path
) -> None:
    with serve(make, address, options=TransportOptions(tls=write(tmp_path, SERVER))) as running:
        assert check(running, AUTHORITY) == b"ba"
        assert check(running, OTHER_AUTHORITY) == UNAVAILABLE
        in_the_clear = running.check(b"ab")
    assert isinstance(in_the_clear, Ended)
    assert in_the_clear.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("caller", "expected"),
    [(CALLER, b"ba"), (STRANGER, UNAVAILABLE), (None, UNAVAILABLE)],
    ids=["of the authority", "of another authority", "none"],
)
def test_with_a_client_authority_only_its_certificates_are_served(
    make: Maker, tmp_path: Path, caller: Identity | None, expected: bytes | Ended
) -> None:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem())
    tls = replace(write(tmp_path, SERVER), client_ca=tmp_path / "ca.pem")
    with serve(make, "127.0.0.1:0", options=TransportOptions(tls=tls)) as running:
        assert check(running, AUTHORITY, caller) == expected


def test_a_rotated_certificate_is_shown_without_a_restart(make: Maker, tmp_path: Path) -> None:
    with serve(make, "127.0.0.1:0", options=TransportOptions(tls=write(tmp_path, SERVER))) as running:
        assert check(running, AUTHORITY) == b"ba"
        write(tmp_path, issue("authz", OTHER_AUTHORITY))
        assert until(lambda: check(running, OTHER_AUTHORITY) == b"ba")
        assert check(running, AUTHORITY) == UNAVAILABLE


@pytest.mark.parametrize("content", [None, b"", b"no PEM", STRANGER.pem()], ids=["gone", "empty", "garbage", "no pair"])
def test_a_certificate_that_cannot_be_used_leaves_the_last_one_until_it_is_mended(
    make: Maker, tmp_path: Path, content: bytes | None
) -> None:
    with serve(make, "127.0.0.1:0", options=TransportOptions(tls=write(tmp_path, SERVER))) as running:
        assert check(running, AUTHORITY) == b"ba"
        if content is None:
            (tmp_path / "cert.pem").unlink()
        else:
            (tmp_path / "cert.pem").write_bytes(content)
        assert check(running, AUTHORITY) == b"ba"
        write(tmp_path, issue("authz", OTHER_AUTHORITY))
        assert until(lambda: check(running, OTHER_AUTHORITY) == b"ba")


@pytest.mark.parametrize("missing", ["cert.pem", "key.pem"])
def test_a_file_that_is_not_there_is_named(make: Maker, tmp_path: Path, missing: str) -> None:
    tls = write(tmp_path, SERVER)
    (tmp_path / missing).unlink()
    with pytest.raises(TransportError, match=f"{missing}.*name a PEM file"):
        make(backwards, Health(), now_seconds, TransportOptions(tls=tls)).listen("127.0.0.1:0")


@pytest.mark.parametrize("content", [b"", b"no PEM", STRANGER.pem()], ids=["empty", "garbage", "no pair"])
def test_what_is_no_certificate_of_the_key_is_refused_at_the_start(make: Maker, tmp_path: Path, content: bytes) -> None:
    tls = write(tmp_path, SERVER)
    tls.certificate.write_bytes(content)
    with pytest.raises(TransportError, match=r"cert\.pem"):
        make(backwards, Health(), now_seconds, TransportOptions(tls=tls)).listen("127.0.0.1:0")
