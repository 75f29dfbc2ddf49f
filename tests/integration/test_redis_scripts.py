"""The scripts: each may run twice with one meaning, and says what the pure tables say."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.crc import key_slot

from broker.claims import Claim, Done, Early, Late, Run, Running
from broker.ports import DeadLetter, Reservation
from broker.redis_store.keys import Keys
from broker.redis_store.parts import RedisParts
from broker.scheduling.checks import Open, next_check
from broker.scheduling.claiming import Claimant, Found, decide_claim, decide_take_over
from broker.scheduling.committing import commit_wins
from schemas.envelope import Envelope
from schemas.ids import new_request_id, partition_of
from schemas.lifecycle import TERMINAL, Status
from schemas.record import Record
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, open_parts

pytestmark = pytest.mark.realservers


@pytest.fixture(params=["redis_url", "redis_cluster"])
async def parts(request: pytest.FixtureRequest) -> AsyncIterator[RedisParts]:
    async with open_parts(request.getfixturevalue(request.param)) as parts:
        yield parts


async def put(parts: RedisParts, record_id: str, fields: dict[str, object]) -> None:
    """Write fields of a record past the scripts."""
    keys = parts.store._keys
    flat = [part for pair in fields.items() for part in pair]
    await parts.store._batcher.submit(keys.tag(record_id), "HSET", keys.record(record_id), *flat)


async def check_of(parts: RedisParts, record_id: str) -> float | None:
    keys = parts.store._keys
    tag = keys.tag(record_id)
    score = await parts.store._batcher.submit(tag, "ZSCORE", keys.open(tag), record_id)
    return None if score is None else float(score)


def test_all_keys_of_a_script_share_a_slot() -> None:
    keys = Keys("penstock")
    request_id = new_request_id()
    tag = keys.tag(request_id)
    families = [
        keys.of_birth(request_id, "acme"),
        (keys.list_of(tag, "acme"), keys.record_prefix(tag), keys.result_prefix(tag)),
        (keys.dead_letters(tag), keys.dead_prefix(tag), keys.counts(tag), keys.joins(tag)),
        (keys.record(request_id), keys.open(tag), keys.lease(tag), *keys.outbox(tag, "settler")),
        (*keys.outbox(tag, "webhooks"), *keys.outbox(tag, "replies")),
        (*keys.of_lines(tag), keys.batches_of(tag, "acme"), keys.failed_lines(request_id)),
        (keys.files(tag), keys.file(tag, "file-1"), keys.files_of(tag, "acme")),
        keys.of_backend("gpu-a"),
        keys.of_members(),
    ]
    tags = [tag] * 7 + [keys.limits, keys.members]
    for family, expected in zip(families, tags, strict=True):
        assert {key_slot(key.encode()) for key in family} == {key_slot(expected.encode())}


async def test_every_step_of_a_life_may_be_repeated(parts: RedisParts) -> None:
    store, envelope = parts.store, make_envelope()
    assert [await store.create(envelope) for _ in range(2)] == [True, True]
    assert not await store.create(replace(envelope, body=b"{}")), "another request's"
    for _ in range(2):
        await store.mark_published(envelope.id, 0)
    assert await parts.upkeep.unpublished(envelope.id) is None
    assert [await store.claim(envelope, SLOT) for _ in range(2)] == [Run(1, 0)] * 2
    second = Reservation("gpu-b", "a:1:2")
    assert [await store.next_attempt(envelope.id, 1, second) for _ in range(2)] == [True, True]
    later = envelope.next_generation(0.0)
    assert [await store.requeue(later, 2) for _ in range(2)] == [True, True]
    assert await store.claim(envelope, SLOT) == Done(), "a newer copy is confirmed"
    assert await store.claim(later, Reservation("gpu-a", "a:1:3")) == Run(3, 0)
    result = a_result()
    finishes = [await store.finish(later, result, 3, SLOT) for _ in range(2)]
    assert [(each.won, each.result) for each in finishes] == [(True, result)] * 2
    outbox = await parts.upkeep.outbox(partition_of(envelope.id), 10)
    assert [entry.request_id for _, entry in outbox] == [envelope.id], "one commit, one entry"
    lost = await store.finish(later, a_result(body=b"another"), 3, SLOT)
    assert (lost.won, lost.result) == (False, result)


async def test_a_take_over_counts_one_death_however_often_it_is_sent(parts: RedisParts) -> None:
    envelope = make_envelope()
    await parts.store.create(envelope)
    await parts.store.claim(envelope, SLOT)
    await parts.store.witness([envelope.id])
    await put(parts, envelope.id, {"owner": "dead:1"})
    mine = Reservation("gpu-a", "a:1:9")
    answers = [await parts.store.take_over(envelope, "dead:1", mine) for _ in range(2)]
    assert answers == [Run(2, 1)] * 2


async def test_ends_without_a_backend_may_be_repeated(parts: RedisParts) -> None:
    refused, cancelled, expired = (make_envelope() for _ in range(3))
    for envelope in (refused, cancelled, expired):
        await parts.store.create(envelope)
    assert [await parts.store.take_back(refused) for _ in range(2)] == [True, True]
    assert not await parts.store.create(refused)
    ends = [await parts.store.cancel(cancelled.id) for _ in range(2)]
    assert ends[0] == ends[1]
    assert ends[0] is not None
    assert ends[0].status is Status.CANCELLED
    record = await parts.store.get(expired.id)
    assert record is not None
    result = a_result(Status.EXPIRED)
    assert [await parts.upkeep.end(record, result) for _ in range(2)] == [True, True]
    assert not await parts.upkeep.end(record, a_result(Status.EXPIRED, body=b"other"))
    for envelope in (refused, cancelled, expired):
        assert await check_of(parts, envelope.id) is None


async def test_the_keepers_steps(parts: RedisParts) -> None:
    envelope = make_envelope()
    partition = partition_of(envelope.id)
    await parts.store.create(envelope)
    assert await parts.upkeep.unpublished(envelope.id) == envelope
    assert await parts.upkeep.due(partition, 10) == []
    await parts.upkeep.check_again(envelope.id, time.time() - 1)
    assert [record.id for record in await parts.upkeep.due(partition, 10)] == [envelope.id]
    await parts.store.claim(envelope, SLOT)
    assert await parts.store.witness([envelope.id]) == {envelope.id: Status.IN_PROGRESS}
    assert not await parts.upkeep.release(envelope.id, "somebody:else")
    assert await parts.upkeep.release(envelope.id, "a:1")
    assert not await parts.upkeep.release(envelope.id, "a:1")
    assert await parts.store.claim(envelope, Reservation("gpu-a", "a:1:2")) == Run(2, 1)
    assert [await parts.upkeep.hold(partition) for _ in range(2)] == [True, True]
    await parts.upkeep.check_again(new_request_id(), time.time())
    await parts.upkeep.file_dead_letter(DeadLetter(None, "unreadable", b"?" * 100_000))


async def test_what_is_kept_for_a_while_has_a_time_to_live(parts: RedisParts) -> None:
    keys, batcher = parts.store._keys, parts.store._batcher
    mark = b"m" * 32
    envelope = make_envelope(id=new_request_id(mark), endpoint="/v1/responses")
    tag, asked = keys.tag(envelope.id), keys.of_request(envelope.id)[11]

    async def lives_s(key: str) -> float:
        return int(await batcher.submit(tag, "PTTL", key)) / 1000

    await parts.store.create(envelope, mark)
    assert 86_300 < await lives_s(keys.mark(mark)) <= 86_400
    assert await lives_s(asked) > envelope.deadline - time.time() + 86_400, "it may end late"
    assert (await parts.store.finish(envelope, a_result(), 1, SLOT)).won
    assert 30 < await lives_s(asked) <= 60
    fields = await batcher.submit(tag, "HKEYS", keys.record(envelope.id))
    assert b"asked" not in fields, "the body has a key of its own"


async def test_the_outbox_is_read_from_its_cursor_and_trimmed(parts: RedisParts) -> None:
    ids = [f"req_05{number:032x}" for number in range(3)]
    for request_id in ids:
        await parts.store.create(make_envelope(id=request_id))
        await parts.store.cancel(request_id)
    entries = await parts.upkeep.outbox(5, 10)
    assert [entry.request_id for _, entry in entries] == ids
    for _ in range(2):
        await parts.upkeep.outbox_done(5, entries[1][0])
    await parts.upkeep.outbox_done(5, entries[0][0])
    assert [entry.request_id for _, entry in await parts.upkeep.outbox(5, 10)] == ids[2:]


async def test_a_missing_record_is_rebuilt_by_claim_and_by_commit(parts: RedisParts) -> None:
    claimed, committed = make_envelope(metadata={"k": "v"}), make_envelope()
    assert await parts.store.claim(claimed, SLOT) == Run(1, 0)
    record = await parts.store.get(claimed.id)
    assert record is not None
    assert (record.metadata, record.published) == ({"k": "v"}, True)
    assert (await parts.store.finish(committed, a_result(), 2)).won
    record = await parts.store.get(committed.id)
    assert record is not None
    assert (record.status, record.attempt) == (Status.COMPLETED, 2)
    late = make_envelope(deadline=time.time() - 1)
    assert await parts.store.claim(late, SLOT) == Late(0)


async def test_a_tombstone_outlives_the_result(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis_url")
    async with open_parts(url, retention_s=0.2) as parts:
        envelope = make_envelope()
        await parts.store.create(envelope)
        await parts.store.finish(envelope, a_result(), 0)
        assert (await parts.store.statuses([envelope.id])) == {envelope.id: Status.COMPLETED}
        time.sleep(0.25)  # noqa: ASYNC251  because nothing else may run here anyway
        assert await parts.store.get(envelope.id) is None
        assert await parts.store.statuses([envelope.id]) == {}
        assert await parts.store.claim(envelope, SLOT) == Done()


async def test_a_dead_letter_keeps_its_envelope(parts: RedisParts) -> None:
    envelope = make_envelope()
    await parts.store.create(envelope)
    await parts.store.claim(envelope, SLOT)
    failed = a_result(Status.FAILED, code="attempts_exhausted")
    assert (await parts.store.finish(envelope, failed, 1, SLOT, keep_envelope=True)).won
    keys = parts.store._keys
    dead = keys.of_request(envelope.id)[6]
    left_ms = await parts.store._batcher.submit(keys.tag(envelope.id), "PTTL", dead)
    assert left_ms > 6.9 * 86_400_000


CLAIMS = list(
    itertools.product(
        [None, Status.QUEUED, Status.IN_PROGRESS, Status.COMPLETED],
        [0, 1, 2],  # the record's generation; the message's is 1
        ["a:1", "dead:1", "b:1"],
        [SLOT.id, "other"],
        [-5, 60],  # when the deadline is
        [None, 30],  # when the record may start
        [False, True],  # whether a heartbeat has seen it running
    )
)


def expected(found: Found | None, message: Envelope, now: float) -> list[Claim]:
    claimant = Claimant("a:1", SLOT.id)
    return [
        decide_claim(found, message, claimant, now, 60),
        decide_take_over(found, message, claimant, "dead:1", now, 60),
    ]


@pytest.mark.parametrize("take_over", [False, True])
async def test_the_claim_says_what_the_table_says(redis_url: str, take_over: bool) -> None:
    async with open_parts(redis_url) as parts:
        now = time.time()
        for status, generation, owner, slot, deadline, not_before, seen in CLAIMS:
            running = status is Status.IN_PROGRESS
            message = make_envelope(deadline=now + deadline, generation=1)
            found = (
                None
                if status is None
                else Found(
                    status=status,
                    generation=generation,
                    attempt=1,
                    poison=1,
                    witnessed=seen,
                    owner=owner if running else None,
                    reservation=slot if running else None,
                    deadline=message.deadline,
                    not_before=not_before and now + not_before,
                )
            )
            if found:
                await parts.store.create(message)
                fields: dict[str, object] = {
                    "status": found.status.value,
                    "generation": generation,
                    "attempt": 1,
                    "poison": 1,
                }
                if running:
                    fields |= {"owner": owner, "slot": slot}
                if seen:
                    fields["witnessed"] = 1
                if found.not_before:
                    fields["not_before"] = repr(found.not_before)
                await put(parts, message.id, fields)
            claim = await (
                parts.store.take_over(message, "dead:1", SLOT)
                if take_over
                else parts.store.claim(message, SLOT)
            )
            assert claim == expected(found, message, now)[take_over], found
            await told_as_claimed(parts, message, claim)


async def told_as_claimed(parts: RedisParts, message: Envelope, claim: Claim) -> None:
    record = await parts.store.get(message.id)
    if isinstance(claim, Run):
        assert record is not None
        assert record.status is Status.IN_PROGRESS
        assert (record.owner, record.attempt) == ("a:1", claim.attempt)
        assert record.poison == claim.poison
        assert record.generation == message.generation or claim.attempt == 1, "a repeated claim"
    elif isinstance(claim, Early | Running):
        assert record is not None
        assert not record.terminal


@pytest.mark.parametrize("found", [None, *Status])
async def test_the_commit_wins_when_the_table_says_so(redis_url: str, found: Status | None) -> None:
    async with open_parts(redis_url) as parts:
        for known, result, attempt in itertools.product([1, 2], sorted(TERMINAL), [1, 2]):
            envelope = make_envelope()
            if found:
                await parts.store.create(envelope)
                ends = {"attempt": known, "expires_at": time.time() + 60}
                await put(parts, envelope.id, {"status": found.value, **ends})
            answer = await parts.store.finish(envelope, a_result(Status(result)), attempt)
            wins = commit_wins(found, known, Status(result), attempt)
            assert answer.won is wins, (found, known, result, attempt)


async def test_the_next_check_follows_the_rule(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        for held, early in itertools.product([None, "api:1"], [None, 100.0]):
            now = time.time()
            envelope = make_envelope(held_by=held, not_before=early and now + early)
            await parts.store.create(envelope)
            await agrees(parts, envelope, running=False, published=False)
            await parts.store.mark_published(envelope.id, 0)
            await agrees(parts, envelope, running=False, published=True)
            again = envelope.next_generation(now)
            assert isinstance(await parts.store.claim(again, SLOT), Run)
            await agrees(parts, again, running=True, published=True)
            await parts.store.requeue(again.next_generation(now + 50), 1)
            await agrees(parts, replace(again, not_before=now + 50), running=False, published=True)


async def agrees(parts: RedisParts, envelope: Envelope, *, running: bool, published: bool) -> None:
    rule = Open(
        running=running,
        published=published,
        held=envelope.held_by is not None,
        due=envelope.not_before or envelope.accepted_at,
        deadline=envelope.deadline,
        copy_apart=True,
    )
    assert await check_of(parts, envelope.id) == pytest.approx(
        next_check(rule, time.time()), abs=0.5
    )


async def test_a_waiting_record_is_small(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        envelope = make_envelope(body=b"x" * 10_000)
        await parts.store.create(envelope)
        await parts.store.mark_published(envelope.id, 0)
        keys = parts.store._keys
        usage = await parts.store._batcher.submit(
            keys.tag(envelope.id), "MEMORY", "USAGE", keys.record(envelope.id)
        )
        encoding = await parts.store._batcher.submit(
            keys.tag(envelope.id), "OBJECT", "ENCODING", keys.record(envelope.id)
        )
        assert encoding == b"listpack"
        assert usage < 500


async def test_a_record_tells_all_it_was_born_with(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        envelope = make_envelope(
            held_by="api:1", on_disconnect="finish", metadata={"a": "b"}, not_before=1.5
        )
        await parts.store.create(envelope)
        record = await parts.store.get(envelope.id)
        assert isinstance(record, Record)
        for name in (
            "tenant",
            "model",
            "endpoint",
            "priority",
            "accepted_at",
            "deadline",
            "not_before",
            "held_by",
            "on_disconnect",
            "metadata",
            "generation",
        ):
            assert getattr(record, name) == getattr(envelope, name)


async def test_what_a_repeated_submission_has_published_is_not_taken_back(
    parts: RedisParts,
) -> None:
    """The repeated one has been told 202 by then; the first finds that it is accepted after all."""
    envelope = make_envelope()
    await parts.store.create(envelope)
    await parts.store.mark_published(envelope.id, envelope.generation)
    assert await parts.store.take_back(envelope) is False
    record = await parts.store.get(envelope.id)
    assert record is not None
    assert record.status is Status.QUEUED
