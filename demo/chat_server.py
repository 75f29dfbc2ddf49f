"""SmolLM2-135M-Instruct behind llama.cpp's own HTTP server: `python -m demo.chat_server --port N`.

OpenAI-shaped at /v1; two requests at a time, because that is what there is to queue for.
"""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any

from demo import weights
from demo.claims import DemoError

MODEL = "smollm2-135m"
SLOTS = 2
_CONTEXT_TOKENS = 2048
# llama.cpp's threads spin at a barrier for each layer: where others want the cores too, two threads
# were five times slower than one.
_THREADS = 1
_ERRORS_ONLY = 1


def start(port: int) -> Any:
    """Return the running server; it stops when the object goes away. Raises DemoError."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights.CHAT.checked())
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = _CONTEXT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _THREADS
    params.cache_ram_mib = 0
    params.offline = True
    params.ui = False
    params.verbosity = _ERRORS_ONLY
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise DemoError(f"The chat model server cannot listen on port {port}: {error}") from None


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m demo.chat_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    try:
        server = start(port)
        print(f"ready: {MODEL} at {server.listening_address}/v1", flush=True)
        threading.Event().wait()
    except DemoError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
