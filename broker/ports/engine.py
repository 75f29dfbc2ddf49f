"""One way to stand on real parts."""

from __future__ import annotations

from typing import Protocol

from broker.ports.batches import Batches
from broker.ports.blobs import Blobs
from broker.ports.dead_letters import DeadLetters
from broker.ports.events import Events
from broker.ports.files import Files
from broker.ports.limits import Limits
from broker.ports.members import Members
from broker.ports.messages import Queue
from broker.ports.replies import Replies
from broker.ports.store import Store
from broker.ports.submissions import Submissions
from broker.ports.switches import Switches
from broker.ports.upkeep import Upkeep
from broker.ports.webhooks import Webhooks


class Engine(Protocol):
    """One way to stand on real parts: the ports and their common life."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def queue(self) -> Queue: ...

    @property
    def store(self) -> Store: ...

    @property
    def upkeep(self) -> Upkeep: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def events(self) -> Events: ...

    @property
    def members(self) -> Members: ...

    @property
    def switches(self) -> Switches: ...

    @property
    def webhooks(self) -> Webhooks: ...

    @property
    def files(self) -> Files: ...

    @property
    def batches(self) -> Batches: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def submissions(self) -> Submissions | None:
        """The AMQP door, where the engine has one."""

    @property
    def replies(self) -> Replies: ...

    async def start(self) -> None:
        """Connect, and keep connecting in the background where a part is away."""

    async def stop(self) -> None:
        """Close everything; safe to call twice, or without `start`."""

    async def health(self) -> dict[str, str | None]:
        """Return each part's name with None when it is well, else a sentence."""
