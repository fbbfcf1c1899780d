"""TLS of the collector's own addresses. A renewed certificate is taken up for new connections, without a restart."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import grpc
import structlog

from p402.vocabulary import Permanent

__all__ = ["Tls", "TlsUnusable"]

_SECONDS = 30.0  # between two looks at the files

log = structlog.get_logger(__name__)


class TlsUnusable(Permanent):
    """Certificate or key cannot be used."""


class Tls:
    """A certificate with its chain, and its key, both in PEM.

    Raises:
        TlsUnusable: naming the file that is missing, or saying that the two do not fit.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._pair, self._newest = self._load()
        self.context = self._newest
        """For HTTP; 1.2 and newer. Each connection gets the newest pair."""
        self.context.sni_callback = self._use_newest

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Give what a gRPC server needs; it asks for the newest pair at every handshake."""
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._configuration)

    async def run(self) -> None:
        """Take up renewed files until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Take up renewed files; a pair that cannot be used leaves the one before in use."""
        try:
            pair = self._read()
            if pair != self._pair:
                self._pair, self._newest = self._load()
                log.info("certificate_renewed", file=str(self._certificate))
        except TlsUnusable as error:
            log.warning("certificate_cannot_be_renewed", problem=str(error))

    def _use_newest(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._newest

    def _load(self) -> tuple[tuple[bytes, bytes], ssl.SSLContext]:
        pair = self._read()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError as error:
            raise TlsUnusable(
                f"{self._certificate} and {self._key} cannot be used for TLS: {error.reason or error}. "
                "They must be a certificate with its chain and its key without a password, in PEM."
            ) from error
        return pair, context

    def _read(self) -> tuple[bytes, bytes]:
        found = []
        for setting, file in (("P402_TLS_CERT_FILE", self._certificate), ("P402_TLS_KEY_FILE", self._key)):
            try:
                found.append(file.read_bytes())
            except OSError as error:
                raise TlsUnusable(
                    f"{setting} names {file}, which cannot be read: {error.strerror or error}."
                ) from error
        return found[0], found[1]

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        certificate, key = self._pair
        return grpc.ssl_server_certificate_configuration([(key, certificate)])
