"""Everything that can go wrong, as one family.

PenstockError
+- Unreachable         no Penstock answered, however often it was tried
+- Refused             the server said no; `code` says why
+- RequestFailed       the request ended, and not well; `request` says how
|  +- StreamInterrupted  what was shown of a stream cannot be gone on with
+- TimedOut            it had not ended in the time that was given; it goes on
+- InvalidSignature    a webhook was not signed with this secret, or too long ago
+- NotInRedis          the answer is large: fetch it by HTTP
+- UnknownLayout       Redis holds records in a layout that this version cannot read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.shapes import Request


class PenstockError(Exception):
    """The base of every error raised here on purpose.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     try:
    ...         client.result("req_0000000000000000000000000000000000")
    ...     except penstock.PenstockError as error:
    ...         print(type(error).__name__)
    Refused
    """


class Unreachable(PenstockError):
    """No Penstock answers, after every retry.

    >>> import penstock
    >>> with penstock.Client("http://127.0.0.1:9", retries=0) as client:
    ...     try:
    ...         client.submit({"model": "llama3.2", "messages": []})
    ...     except penstock.Unreachable as error:
    ...         print(error)
    no Penstock answers at http://127.0.0.1:9: ...
    """


class Refused(PenstockError):
    """The server refused, and to ask again will not help, or did not.

    `code` is a row of the table of errors in the documentation; `request_id` names the call in the
    server's log where it is known.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     try:
    ...         client.submit({"model": "no-such-model", "messages": []})
    ...     except penstock.Refused as error:
    ...         print(error.status, error.code)
    404 model_not_found
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        final: bool = True,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.type = kind
        self.param = param
        self.message = message
        self.retry_after_s = retry_after_s
        self.final = final
        self.request_id = request_id
        super().__init__(f"{message} ({code or status})")


class RequestFailed(PenstockError):
    """The request ended as failed, cancelled or expired; `request.error` says why.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     request = client.submit({"model": "broken", "messages": []})
    ...     try:
    ...         client.result(request)
    ...     except penstock.RequestFailed as error:
    ...         print(error.request.status, error.code)
    failed attempts_exhausted
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.code = request.error.code if request.error else request.status
        said = request.error.message if request.error else "There is no further reason."
        super().__init__(f"{request.id} is {request.status}: {said} ({self.code})")


class StreamInterrupted(RequestFailed):
    """A stream broke off after a part of it was shown, and cannot be gone on with.

    What was shown is to be thrown away. Ask with `restart=True` to have such a stream begin anew.

    >>> import penstock
    >>> issubclass(penstock.StreamInterrupted, penstock.RequestFailed)
    True
    """

    def __init__(self, request: Request, message: str) -> None:
        super().__init__(request)
        self.code = "stream_interrupted"
        self.args = (f"{request.id}: {message}",)


class TimedOut(PenstockError):
    """The request had not ended in time; `request` is what it was like then. It goes on.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     request = client.submit({"model": "slow", "messages": []})
    ...     try:
    ...         client.wait(request, timeout_s=0.1)
    ...     except penstock.TimedOut as error:
    ...         print(error.request.ended)
    False
    """

    def __init__(self, request: Request, waited_s: float) -> None:
        self.request = request
        super().__init__(f"{request.id} is still {request.status} after {waited_s:g} s")


class InvalidSignature(PenstockError):
    """A webhook that is not from who holds the secret, or older than the tolerance.

    >>> from penstock import InvalidSignature, webhooks
    >>> try:
    ...     webhooks.verify(b"{}", {}, "whsec_" + "A" * 32)
    ... except InvalidSignature as error:
    ...     print(error)
    Missing required headers
    """


class UnknownLayout(PenstockError):
    """Redis holds records in a layout that this version cannot read, or none at all.

    >>> from penstock import UnknownLayout
    >>> from penstock.polling import Poller
    >>> with Poller("redis://redis:6379/0", namespace="nobody-writes-here") as poller:
    ...     try:
    ...         poller.get("req_0000000000000000000000000000000000")
    ...     except UnknownLayout as error:
    ...         print(error)
    no Penstock has written to this Redis under the namespace nobody-writes-here
    """


class NotInRedis(PenstockError):
    """The answer is over 256 KiB, and not in Redis: fetch `request` with a `Client`.

    >>> import penstock
    >>> from penstock.polling import Poller
    >>> many = {"model": "nomic-embed-text", "input": ["Hello"] * 8000}
    >>> with penstock.Client() as client, Poller("redis://redis:6379/0") as poller:
    ...     request = client.submit(many, endpoint="/v1/embeddings")
    ...     try:
    ...         poller.result(request, timeout_s=30)
    ...     except penstock.NotInRedis as error:
    ...         print(len(client.result(error.request).body["data"]))
    8000
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        super().__init__(f"the answer of {request.id} is large: fetch it by HTTP, Client.result")
