"""The certificate that the doors show."""

from __future__ import annotations

import ssl
from pathlib import Path

from schemas.config import ServerConfig
from schemas.errors import ConfigError


def tls_context(server: ServerConfig) -> ssl.SSLContext | None:
    """Return the TLS side of the doors (1.2 or newer); None means plain HTTP.

    Raises ConfigError when a file cannot be read or the two do not belong together.
    """
    if server.tls_cert is None or server.tls_key is None:
        return None
    for name, path in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        _check_readable(name, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password, so that an encrypted key fails instead of asking at the terminal.
        context.load_cert_chain(server.tls_cert, server.tls_key, password="")
    except ssl.SSLError as error:
        raise ConfigError(
            f"tls_cert {server.tls_cert} and tls_key {server.tls_key} cannot be used: "
            f"{_reason(error)}. Both must be PEM, the key without a password."
        ) from None
    return context


def _check_readable(name: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {path}: {error.strerror}.") from None


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not fit the certificate"
    return (error.reason or str(error)).lower().replace("_", " ")
