"""Files: what is known of them, page by page, until they expire or are deleted."""

from __future__ import annotations

import time
from dataclasses import replace

from broker.ports import FileSelection
from schemas.files import Part, StoredFile
from schemas.ids import new_file_id
from tests.conformance.stages import Process, Stage
from tests.fakes.batches import make_file


async def created(engine: Process, *parts: Part, **changes: object) -> StoredFile:
    file = make_file(**changes)
    assert await engine.files.create(file, parts or [_part(file)])
    return file


def _part(file: StoredFile) -> Part:
    return Part(f"files/{file.id}", file.bytes)


async def test_a_file_is_told_as_it_was_created(engine: Process) -> None:
    file = await created(engine, filename="ü/ \n.jsonl", bytes=5_000_000_000, purpose="user_data")
    assert await engine.files.get(file.id) == file
    assert list(await engine.files.parts(file.id)) == [_part(file)]


async def test_its_parts_stay_in_order(engine: Process) -> None:
    parts = [Part(f"files/{number}", number) for number in (3, 1, 2)]
    file = await created(engine, *parts)
    assert list(await engine.files.parts(file.id)) == parts


async def test_its_id_is_taken_then(engine: Process) -> None:
    file = await created(engine)
    other = replace(file, tenant="other")
    assert not await engine.files.create(other, [Part("files/other", 1)])
    assert await engine.files.get(file.id) == file
    assert list(await engine.files.parts(file.id)) == [_part(file)]


async def test_an_unknown_one_is_nothing(engine: Process) -> None:
    unknown = new_file_id()
    assert await engine.files.get(unknown) is None
    assert list(await engine.files.parts(unknown)) == []
    assert list(await engine.files.delete(unknown)) == []


async def test_pages_of_a_tenant_in_both_orders(engine: Process) -> None:
    now = time.time()
    files = [await created(engine, created_at=now - number // 2) for number in range(5)]
    await created(engine, tenant="other")
    oldest = sorted(files, key=lambda each: (each.created_at, each.id))
    for newest_first in (False, True):
        ordered = oldest[::-1] if newest_first else oldest
        selection = FileSelection("acme", newest_first=newest_first)
        assert await engine.files.select(selection, None, 10) == ordered
        assert await engine.files.select(selection, None, 2) == ordered[:2]
        assert await engine.files.select(selection, ordered[1].id, 2) == ordered[2:4]
        assert await engine.files.select(selection, ordered[4].id, 2) == []


async def test_pages_of_one_purpose(engine: Process) -> None:
    now = time.time()
    files = [
        await created(engine, created_at=now - number, purpose="ab"[number % 2])
        for number in range(6)
    ]
    found = await engine.files.select(FileSelection("acme", "b"), None, 2)
    assert found == [files[1], files[3]]
    # It goes on behind any file of the tenant.
    assert await engine.files.select(FileSelection("acme", "b"), files[2].id, 9) == files[3::2]
    assert await engine.files.select(FileSelection("acme", "c"), None, 9) == []


async def test_no_page_goes_on_behind_a_file_of_others(engine: Process) -> None:
    file = await created(engine)
    assert await engine.files.select(FileSelection("other"), file.id, 2) is None
    assert await engine.files.select(FileSelection("acme"), new_file_id(), 2) is None
    assert await engine.files.select(FileSelection("nobody"), None, 2) == []


async def test_a_deleted_one_is_gone_and_says_which_blobs_are_to_go(engine: Process) -> None:
    parts = [Part("files/a", 1), Part("files/b", 2)]
    file, stays = await created(engine, *parts), await created(engine)
    assert list(await engine.files.delete(file.id)) == parts
    assert list(await engine.files.delete(file.id)) == []
    assert await engine.files.get(file.id) is None
    assert list(await engine.files.parts(file.id)) == []
    assert await engine.files.select(FileSelection("acme"), None, 9) == [stays]


async def test_one_past_its_time_reads_as_unknown_until_it_is_deleted(engine: Process) -> None:
    now = time.time()
    parts = [Part("files/a", 1)]
    old = await created(engine, *parts, created_at=now - 100, expires_at=now - 1)
    older = await created(engine, created_at=now - 100, expires_at=now - 2)
    fresh = await created(engine)
    assert await engine.files.get(old.id) is None
    assert list(await engine.files.parts(old.id)) == []
    assert await engine.files.select(FileSelection("acme"), None, 9) == [fresh]
    assert set(await engine.files.expired(9)) == {old.id, older.id}
    assert len(await engine.files.expired(1)) == 1
    await engine.upkeep.sweep()
    assert list(await engine.files.delete(old.id)) == parts
    assert list(await engine.files.expired(9)) == [older.id]


async def test_files_outlive_the_process(stage: Stage) -> None:
    async with stage.open() as engine:
        file = await created(engine)
    async with stage.open() as engine:
        assert await engine.files.get(file.id) == file
