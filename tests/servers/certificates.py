"""A certificate for loopback, as the ``openssl`` command makes it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate, which is its own authority, and its key: PEM files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """TLS as a server with this certificate speaks it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def can_make() -> bool:
    """Whether there is an ``openssl`` command."""
    return shutil.which("openssl") is not None


def make(folder: Path) -> Certificate:
    """Make one for 127.0.0.1 and localhost, valid for a day."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return made
