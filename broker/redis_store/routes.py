"""Which server holds a hash tag: the one there is, or the owner of its slot in a Redis Cluster."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ResponseError

from broker.redis_store.connect import Address, Dialler
from broker.redis_store.node import Node, pack
from schemas.errors import StoreUnavailable

_FIND_S = 2.0


class Routes:
    """The known servers. Empty until `find` has asked one of them."""

    def __init__(self, url: str) -> None:
        self._dialler = Dialler(url)
        self._nodes: dict[Address, Node] = {}
        self._single: Node | None = None
        self._ranges: list[tuple[int, int, Node]] = []
        self._by_tag: dict[str, Node] = {}
        self._finding: asyncio.Task[None] | None = None
        self.cluster = False

    @property
    def nodes(self) -> list[Node]:
        """The servers that hold something."""
        if self._single:
            return [self._single]
        return list({str(node): node for _, _, node in self._ranges}.values())

    def node_of(self, tag: str) -> Node | None:
        """Return the server that holds `tag`; None while that is not known."""
        if self._single:
            return self._single
        node = self._by_tag.get(tag)
        if node is None and (node := self._owner_of(key_slot(tag.encode()))):
            self._by_tag[tag] = node
        return node

    def node_at(self, address: Address) -> Node:
        """Return the server at `address`."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(address, self._dialler.to(address))
        return node

    async def find(self) -> None:
        """Ask the servers who holds what; callers at the same time share one question.

        Raises StoreUnavailable when none of them answers.
        """
        if self._finding is None:
            self._finding = asyncio.create_task(self._find(), name="redis: find the servers")
            self._finding.add_done_callback(self._found)
        # A caller that gives up must not end the question for the others.
        await asyncio.shield(self._finding)

    async def close(self) -> None:
        """Close every connection."""
        if self._finding:
            self._finding.cancel()
        for node in self._nodes.values():
            await node.forget()

    def _owner_of(self, slot: int) -> Node | None:
        return next((node for low, high, node in self._ranges if low <= slot <= high), None)

    def _found(self, task: asyncio.Task[None]) -> None:
        self._finding = None
        if not task.cancelled():
            task.exception()  # every caller has been told; a question without one is no error

    async def _find(self) -> None:
        seeds = {self._dialler.address: None, **dict.fromkeys(self._nodes)}
        trouble = StoreUnavailable("no Redis server is known")
        for address in seeds:
            try:
                async with asyncio.timeout(_FIND_S / len(seeds) + 0.2):
                    return await self._ask(self.node_at(address))
            except StoreUnavailable as error:
                trouble = error
            except TimeoutError:
                trouble = StoreUnavailable(f"Redis at {self.node_at(address)} does not answer")
        raise trouble

    async def _ask(self, node: Node) -> None:
        (info,) = await node.run([pack("INFO", "cluster")])
        if isinstance(info, ResponseError):
            raise StoreUnavailable(f"Redis at {node} refuses: {info}")
        self.cluster = b"cluster_enabled:1" in info
        if not self.cluster:
            self._single = node
            return
        (slots,) = await node.run([pack("CLUSTER SLOTS")])
        if isinstance(slots, ResponseError):
            raise StoreUnavailable(f"Redis at {node} does not know its cluster: {slots}")
        self._ranges = [self._range(entry, node) for entry in slots]
        self._by_tag.clear()

    def _range(self, entry: list[Any], asked: Node) -> tuple[int, int, Node]:
        low, high, (host, port, *_) = entry[0], entry[1], entry[2]
        # A node that does not know its own name means: the name you asked.
        name = host.decode() if host else asked.address[0]
        return low, high, self.node_at((name, port))
