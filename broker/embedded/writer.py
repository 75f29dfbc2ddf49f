"""The one thread that writes: what waits is run in order and committed together.

A failed sync is never repeated, since the system may already have dropped the unwritten pages
and would report success: the writer then refuses everything and the process must end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw
import structlog

from broker.embedded.thread_queue import next_batch
from schemas.errors import StorageFull, StoreUnavailable

T = TypeVar("T")
Operation = Callable[[apsw.Connection], T]

MAX_BATCH = 256
_CHECKPOINT_PAGES = 1_000
_log = structlog.get_logger("penstock.embedded")
# These concern the file, not the one operation that met them.
_FILE_ERRORS = (
    apsw.IOError,
    apsw.FullError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
)


@dataclass(slots=True)
class _Task:
    operation: Operation[Any]
    answer: asyncio.Future[Any]
    after: Callable[[Any], None] | None
    value: Any = None
    error: BaseException | None = None


class Writer:
    """Runs operations on its own thread; each is a function of the connection."""

    def __init__(self, connection: apsw.Connection, on_broken: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._wal_pages = 0
        self._closed = False
        self.broken: str | None = None
        # Replaces SQLite's own checkpoint, which hides a failed sync of the main file.
        connection.set_wal_hook(self._note_wal)
        self._thread = threading.Thread(target=self._work, name="penstock-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T], after: Callable[[T], None] | None = None) -> T:
        """Return the operation's value once it is durable.

        `after` is called with that value on the loop, also when the caller is cancelled meanwhile.
        Raises StorageFull when the disk is full, StoreUnavailable when the file cannot be written.
        """
        if self._closed or self.broken:
            raise StoreUnavailable(self.broken or "The store is closed.")
        task = _Task(operation, self._loop.create_future(), after)
        self._waiting.put(task)
        value: T = await task.answer
        return value

    async def close(self) -> None:
        """Finish what waits, then close the file; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = next_batch(self._waiting, MAX_BATCH)
            if batch:
                self._write(batch)
                self._tell(batch)
                self._checkpoint()
        self._connection.close()

    def _write(self, batch: list[_Task]) -> None:
        try:
            if self.broken:
                raise StoreUnavailable(self.broken)
            self._transact(batch)
        except apsw.FullError as error:
            self._roll_back()
            self._write_singly(batch, error)
        except apsw.BusyError:
            # Another program holds the file, a backup perhaps; nothing of ours is in doubt.
            self._roll_back()
            for task in batch:
                task.error = StoreUnavailable("Another program has locked the data file.")
        except Exception as error:  # noqa: BLE001  because every waiting caller must be told
            self._break(error)
            for task in batch:
                task.error = StoreUnavailable(self.broken or "")

    def _write_singly(self, batch: list[_Task], error: apsw.FullError) -> None:
        """Where a large batch has no room, its small commits may still have."""
        for task in batch:
            if len(batch) == 1:
                task.error = StorageFull(f"The disk is full: {error}.")
            else:
                self._write([task])

    def _transact(self, batch: list[_Task]) -> None:
        if not self._commit_plainly(batch):
            self._commit_by_steps(batch)

    def _commit_plainly(self, batch: list[_Task]) -> bool:
        """Run and commit all, without a savepoint for each; False, with nothing done, if one fails.

        Each statement costs both threads a hand-over of the interpreter.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for task in batch:
                task.value, task.error = task.operation(self._connection), None
        except _FILE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  because it comes again, and is then the caller's to see
            self._roll_back()
            return False
        self._connection.execute("COMMIT")
        return True

    def _commit_by_steps(self, batch: list[_Task]) -> None:
        """Run all and commit those that do not fail."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        for task in batch:
            task.value, task.error = None, None
            run("SAVEPOINT step")
            try:
                task.value = task.operation(self._connection)
            except _FILE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  because it is the caller's to see
                task.error = error
                run("ROLLBACK TO step")
            run("RELEASE step")
        run("COMMIT")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _break(self, error: Exception) -> None:
        if self.broken:
            return
        self.broken = f"The data file can no longer be written: {error}."
        # What the WAL holds must not be taken for written by a clean close.
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _log.critical("store broken, the process must end", error=str(error))
        self._call(self._on_broken, self.broken)

    def _tell(self, batch: list[_Task]) -> None:
        self._call(_resolve, batch)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            _log.warning("the loop ended before its store")

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Move the WAL into the main file now and then; readers do not block it."""
        if self._wal_pages < _CHECKPOINT_PAGES or self.broken:
            return
        self._wal_pages = 0
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.FullError:
            _log.warning("no room for a checkpoint, the WAL grows")
        except apsw.Error as error:
            self._break(error)


def _resolve(batch: list[_Task]) -> None:
    for task in batch:
        if task.error is not None:
            if not task.answer.done():
                task.answer.set_exception(_portable(task.error))
            continue
        if not task.answer.done():
            task.answer.set_result(task.value)
        if task.after is not None:
            _go_on(task.after, task.value)


def _go_on(after: Callable[[Any], None], value: Any) -> None:
    try:
        after(value)
    except Exception:  # noqa: BLE001  because the rest of the batch waits for its answers
        _log.exception("a listener of the store failed")


def _portable(error: BaseException) -> BaseException:
    """No error of SQLite leaves this room."""
    if isinstance(error, apsw.Error):
        return StoreUnavailable(f"{type(error).__name__}: {error}")
    return error
