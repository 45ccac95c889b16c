"""Certificates as an authority of one's own makes them, by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


def openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass
class Authority:
    """Its own certificate is `ca.pem` in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        openssl(*command, "-subj", "/CN=figueira test authority", "-keyout", self.folder / "ca.key", "-out", self.pem)

    @property
    def pem(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, file: str) -> None:
        """Writes a new certificate for `name` to `file`.pem, and its key to `file`.key."""
        key, request, made = (self.folder / f"{file}.{end}" for end in ("new-key", "csr", "new-pem"))
        command = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl(*command, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.folder / f"{file}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n")
        command = ["x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.folder / "ca.key", "-CAcreateserial"]
        openssl(*command, "-days", "1", "-extfile", extensions, "-out", made)
        key.rename(self.folder / f"{file}.key")
        made.rename(self.folder / f"{file}.pem")

    def keys(self, first: str, *more: str) -> str:
        """`[gateway.tls]` of these files, as a key of `[gateway]`."""

        def pair(file: str) -> str:
            return f'certificate = "{self.folder / file}.pem", key = "{self.folder / file}.key"'

        others = ", ".join("{ " + pair(file) + " }" for file in more)
        return f"tls = {{ {pair(first)}, more = [{others}] }}"
