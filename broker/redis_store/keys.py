"""Every key and channel name in Redis; the braces are hash tags, so a script stays in one slot."""

from __future__ import annotations

from broker.ports.upkeep import OutboxReader
from schemas.ids import PARTITIONS, partition_of, partition_of_seed


class Keys:
    """The names under one namespace. A tag decides which server of a cluster holds a key."""

    def __init__(self, namespace: str) -> None:
        self.partitions = tuple(f"{namespace}:p{number:02x}" for number in range(PARTITIONS))
        self.limits = f"{namespace}:limits"
        self.members = f"{namespace}:members"
        self.foreign = f"{namespace}:foreign"
        self.switches = f"{namespace}:switches"
        self.hooks = f"{namespace}:hooks"
        self.layout = f"{namespace}:layout"
        # A channel per process; scripts append the owner.
        self.wake = f"{namespace}:wake:"
        # No owner has this name: the channel that every process hears.
        self.wake_all = f"{self.wake}all"

    def tag(self, request_id: str) -> str:
        """Return the tag of the partition that holds `request_id`."""
        return self.partitions[partition_of(request_id)]

    def of_request(self, request_id: str) -> tuple[str, ...]:
        """Return KEYS of every script about one request, in the order of scripts/record.lua."""
        return self._about(self.tag(request_id), request_id)

    def of_lines(self, tag: str) -> tuple[str, ...]:
        """Return KEYS of the scripts about a batch and its lines, as `of_request`.

        What is a request's own is given as what stands before its id.
        """
        return self._about(tag, "")

    def _about(self, partition: str, request_id: str) -> tuple[str, ...]:
        tag = "{" + partition + "}:"
        return (
            tag + "rec:" + request_id,  # hash: what is known of it
            tag + "open",  # zset: requests that are not terminal, by their next check
            tag + "env:" + request_id,  # its envelope while no copy is confirmed
            tag + "res:" + request_id,  # its result
            tag + "wait:" + request_id,  # set: the processes to wake when it ends
            tag + "outbox",  # stream: ended requests; one that begins so has those to reply to
            tag + "dead:" + request_id,  # its envelope once it is a dead letter
            tag + "counts",  # hash: how many requests of a tenant are open
            tag + "joins",  # zset: what finds an open, held request by its body
            tag + "dead",  # zset: the dead letters by accepted_at
            tag + "waiting",  # set: models that something waits for; their counts begin with it
            tag + "asked:" + request_id,  # its body, where its client may ask for it
            tag + "batches",  # zset: batches; what is known of each begins with it
        )

    def of_log(self, request_id: str) -> tuple[str, ...]:
        """Return KEYS of the scripts about its event log, in the order of scripts/log.lua."""
        tag = "{" + self.tag(request_id) + "}:"
        return (tag + "log:" + request_id, tag + "chunks:" + request_id, tag + "read:" + request_id)

    def of_birth(self, request_id: str, tenant: str) -> tuple[str, ...]:
        """Return KEYS of the scripts that may make a record."""
        tag = self.tag(request_id)
        return (*self.of_request(request_id), self.list_of(tag, tenant))

    def mark(self, mark: bytes) -> str:
        """Return the key of the requests that were created with `mark`."""
        return "{" + self.partitions[partition_of_seed(mark)] + "}:mark:" + mark.hex()

    def record(self, request_id: str) -> str:
        """Return the key of the record alone."""
        return self.record_prefix(self.tag(request_id)) + request_id

    def record_prefix(self, tag: str) -> str:
        """Return what stands before the id in the record keys of a partition."""
        return "{" + tag + "}:rec:"

    def result_prefix(self, tag: str) -> str:
        """Return what stands before the id in the result keys of a partition."""
        return "{" + tag + "}:res:"

    def dead_prefix(self, tag: str) -> str:
        """Return what stands before the id in the keys of a partition's dead letters."""
        return "{" + tag + "}:dead:"

    def list_of(self, tag: str, tenant: str) -> str:
        """Return the zset of a tenant's requests in a partition, by accepted_at."""
        return "{" + tag + "}:of:" + tenant

    def dead_letters(self, tag: str) -> str:
        """Return the zset of a partition's dead letters, by accepted_at."""
        return "{" + tag + "}:dead"

    def counts(self, tag: str) -> str:
        """Return the hash of open requests by tenant; it names every tenant there ever was."""
        return "{" + tag + "}:counts"

    def joins(self, tag: str) -> str:
        """Return the zset that finds open, held requests by their body (scripts/record.lua)."""
        return "{" + tag + "}:joins"

    def waiting_models(self, tag: str) -> str:
        """Return the set of models that something waits for, or once did."""
        return "{" + tag + "}:waiting"

    def waiting(self, tag: str, model: str) -> str:
        """Return the hash of queued requests of a model by class and tenant."""
        return self.waiting_models(tag) + ":" + model

    def pruned(self, tag: str) -> str:
        """Return the key that exists while a partition's lists need no pruning."""
        return "{" + tag + "}:pruned"

    def recounted(self, tag: str) -> str:
        """Return the key that exists while what waits in a partition need not be counted anew."""
        return "{" + tag + "}:recounted"

    def batches(self, tag: str) -> str:
        """Return the zset of batches that want a runner, by created_at (scripts/batch.lua)."""
        return "{" + tag + "}:batches"

    def batch(self, tag: str, batch_id: str) -> str:
        """Return the hash of a batch; without an id what stands before it."""
        return self.batches(tag) + ":" + batch_id

    def failed_lines(self, batch_id: str) -> str:
        """Return the bits of a batch's failed lines."""
        return self.batch(self.tag(batch_id), batch_id) + ":failed"

    def batches_of(self, tag: str, tenant: str) -> str:
        """Return the zset of a tenant's batches in a partition, by created_at."""
        return self.batches(tag) + ":of:" + tenant

    def files(self, tag: str) -> str:
        """Return the zset of files by expires_at (scripts/file.lua)."""
        return "{" + tag + "}:files"

    def file(self, tag: str, file_id: str) -> str:
        """Return the hash of a file; without an id what stands before it."""
        return self.files(tag) + ":" + file_id

    def files_of(self, tag: str, tenant: str) -> str:
        """Return the zset of a tenant's files in a partition, by created_at."""
        return self.files(tag) + ":of:" + tenant

    def open(self, tag: str) -> str:
        """Return the zset of a partition's requests that are not terminal."""
        return "{" + tag + "}:open"

    def lease(self, tag: str) -> str:
        """Return the key that names the keeper of a partition."""
        return "{" + tag + "}:keeper"

    def outbox(self, tag: str, reader: OutboxReader) -> tuple[str, ...]:
        """Return KEYS of the outbox scripts: what it reads, its cursor, those of the others."""
        own = "{" + tag + "}:"
        if reader == "replies":
            return own + "outbox:replies", own + "replied"
        cursors = (own + "settled", own + "posted")
        return own + "outbox", *(cursors if reader == "settler" else cursors[::-1])

    def of_backend(self, backend: str) -> tuple[str, ...]:
        """Return KEYS of the slot scripts, in the order of scripts/slots.lua; for any cap."""
        tag = self.limits_prefix()
        return (
            tag + "slots:" + backend,  # zset: reservation ids by the end of their lease, in ms
            tag + "pulse:" + backend,  # when a reservation was last made or renewed, in ms
            tag + "paused:" + backend,  # exists while no new slot is granted
            tag + "wanted:" + backend,  # zset: the lines of processes that wait, by their best
            tag + "granted:" + backend,  # zset: the lines a slot is kept for, by until when, in ms
        )

    def live(self, backend: str) -> str:
        """Return the key that exists while a backend has lately started what is no batch."""
        return self.limits_prefix() + "live:" + backend

    def of_limits(self) -> tuple[str, ...]:
        """Return the last KEYS of the scripts about limits, in the order of scripts/limits.lua."""
        tag = self.limits_prefix()
        return (
            tag + "reserved",  # hash: what reservations took beside their slot
            tag + "booked",  # hash: the turns of requests
            tag + "lapses",  # zset: booked requests by when their turn may lapse
        )

    def limits_prefix(self) -> str:
        """Return what stands before the names that scripts/limits.lua makes for each limit.

        Those of a cap as in `of_backend`; of a rate `rate:<key>`, a hash; of both `turns:<key>:<n>`
        with the rank of a class, a zset of requests; of a cap also `hold:<key>`, a number.
        """
        return "{" + self.limits + "}:"

    def of_members(self) -> tuple[str, ...]:
        """Return KEYS of the member scripts, in the order of scripts/living.lua."""
        tag = "{" + self.members + "}:"
        return (
            tag + "live",  # zset: processes by the instant of their last beat
            tag + "serves",  # hash: what each says of itself
            tag + "pulse",  # when any process last beat
            tag + "grace",  # exists while nobody is called dead
        )

    def layout_version(self) -> str:
        """Return the number of the layout that other readers may rely on (layout.py)."""
        return "{" + self.layout + "}:version"

    def foreign_letters(self) -> str:
        """Return the list of messages that are not ours."""
        return "{" + self.foreign + "}:letters"

    def hooks_prefix(self) -> str:
        """Return what stands before the names that scripts/hooks.lua makes."""
        return "{" + self.hooks + "}:"

    def of_hooks(self) -> tuple[str, str]:
        """Return KEYS of the scripts about deliveries, in the order of scripts/hooks.lua."""
        return self.hooks_prefix() + "lines", self.hooks_prefix() + "tenants"

    def hook_post(self, post_id: str) -> str:
        """Return the hash of a delivery."""
        return self.hooks_prefix() + "post:" + post_id

    def hook_endpoints(self) -> str:
        """Return the hash of all webhook endpoints."""
        return self.hooks_prefix() + "endpoints"

    def hook_secrets(self) -> str:
        """Return the hash of the secrets that sign for the URLs of single requests."""
        return self.hooks_prefix() + "secrets"

    def states(self) -> str:
        """Return the hash of what is paused or draining."""
        return "{" + self.switches + "}:states"
