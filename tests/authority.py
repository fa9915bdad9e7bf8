"""Certificates of authorities that exist for one test."""

import ssl
import subprocess
from pathlib import Path

from tests.tools import require

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


class Authority:
    """A certificate authority of its own, made by openssl."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._openssl(
            f"req -x509 {NEW_KEY} -days 2 -subj /CN=authority"
            f" -keyout {folder}/ca.key -out {self.certificate}"
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of somebody on this machine."""
        certificate, key = (self._folder / f"{name}.{end}" for end in ("pem", "key"))
        self._openssl(
            f"req {NEW_KEY} -subj /CN={name} -addext subjectAltName=IP:127.0.0.1"
            f" -keyout {key} -out {self._folder}/{name}.csr"
        )
        self._openssl(
            f"x509 -req -days 2 -in {self._folder}/{name}.csr -copy_extensions copy"
            f" -CA {self.certificate} -CAkey {self._folder}/ca.key -CAcreateserial"
            f" -out {certificate}"
        )
        return certificate, key

    @staticmethod
    def _openssl(options: str) -> None:
        command = [str(require("openssl")), *options.split()]
        subprocess.run(command, check=True, capture_output=True)

    def server(self, name: str) -> ssl.SSLContext:
        """Return the server's side of TLS for somebody who asks for certificates of ours."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.certificate))
        context.load_cert_chain(*self.issue(name))
        context.verify_mode = ssl.CERT_REQUIRED
        return context
