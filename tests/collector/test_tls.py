"""A collector that speaks TLS, over HTTP and gRPC, and takes up a certificate that was renewed."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p402.collector.address import Address
from p402.collector.settings import SettingsInvalid, load_settings
from p402.collector.tls import Tls, TlsUnusable
from support.collector import running_collector
from support.otlp import ASpan, request_of
from support.server import serving

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def write_pair(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    unlocked = serialization.NoEncryption()
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(certificate.public_bytes(encoding))
    files[1].write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, unlocked))
    return files


def test_the_command_serves_https_and_no_http(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    trusted = ssl.create_default_context(cafile=str(certificate))
    settings = {"P402_TLS_CERT_FILE": str(certificate), "P402_TLS_KEY_FILE": str(key)}
    with (
        running_collector(tmp_path / "data", settings) as collector,
        httpx.Client(verify=trusted) as client,
    ):
        assert collector.url.startswith("https://127.0.0.1:")
        assert client.get(f"{collector.url}/readyz").status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(collector.url.replace("https", "http") + "/readyz")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{collector.url}/readyz")


async def test_both_addresses_take_a_renewed_certificate_up(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    before = certificate.read_bytes(), key.read_bytes()
    (tmp_path / "data").mkdir()
    files = {"tls_cert_file": certificate, "tls_key_file": key}
    async with serving(tmp_path / "data", grpc_listen=Address("127.0.0.1", 0), **files) as server:
        tls = server.collector.tls
        assert tls is not None
        assert await exported(server.grpc, before[0]) == b""
        key.write_text("half written")
        tls.refresh()
        assert await charges(server.url, before[0]) == 1  # the pair before is in use still
        write_pair(tmp_path)
        tls.refresh()
        renewed = certificate.read_bytes()
        assert await exported(server.grpc, renewed) == b""
        assert await charges(server.url, renewed) == 2
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await charges(server.url, before[0])
        with pytest.raises(grpc.aio.AioRpcError):
            await exported(server.grpc, before[0])


async def charges(url: str, certificate: bytes) -> int:
    """How many charges there are, by HTTP."""
    async with httpx.AsyncClient(verify=ssl.create_default_context(cadata=certificate.decode())) as client:
        answer = await client.get(f"{url}/v1/charges", params={"organisation": "acme"})
    return len(answer.json()["charges"])


async def exported(address: str, certificate: bytes) -> bytes:
    """Send a span by gRPC; gives the answer."""
    credentials = grpc.ssl_channel_credentials(certificate)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        call: Any = channel.unary_unary(EXPORT)
        answer: bytes = await call(request_of([ASpan()]), timeout=20)
        return answer


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write_pair(tmp_path)
    _, another = write_pair(tmp_path / "other")
    with pytest.raises(TlsUnusable, match="KEY_VALUES_MISMATCH"):
        Tls(certificate, another)
    with pytest.raises(TlsUnusable, match=r"P402_TLS_KEY_FILE names .* which cannot be read: No such file"):
        Tls(certificate, tmp_path / "missing.key")


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="TLS needs both"):
        load_settings(tls_cert_file=tmp_path / "tls.crt")
