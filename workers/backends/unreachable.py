"""Why a backend could not be reached, in words that a tenant may read.

They end up in the request, so none names a host, an address or the client library's classes.
"""

from __future__ import annotations

import os

import aiohttp


def in_words(error: Exception) -> str:
    """Return what kept us from an answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its TLS certificate is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "it speaks no TLS that we understand (is it plain http://?)"
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known to the resolver"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer"
        case aiohttp.ClientConnectorError():
            return f"no connection: {_reason(error)}"
        case aiohttp.ClientOSError() | OSError():
            return f"the connection broke: {_reason(error)}"
    return "its answer is not HTTP that we understand"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "no reason given"
