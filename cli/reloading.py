"""Taking a changed configuration file over, on SIGHUP or when the file has changed.

A file that cannot be used changes nothing: the configuration before stays, with one error line.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from broker.lifecycle import Tasks
from broker.telemetry import CONFIG_LOADED_AT, CONFIG_RELOADS
from schemas.changes import changes, takeable
from schemas.config import Config
from schemas.errors import ConfigError

_log = structlog.get_logger("penstock.reload")
_LOOK_EVERY_S = 1.0

# Which file it is and when it was last written or replaced; or the error that hides it.
Mark = tuple[int, ...]


class WatchedFile:
    """The file behind a configuration; it is made before the file is first read.

    Only looks at it, and so sees every way in which it can change: rewritten, renamed over,
    reached through a link that now leads elsewhere. What is no plain file, a pipe say, can be read
    only once: then `path` is None.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path if path is not None and path.is_file() else None
        self.taken = self.mark()
        self._last_look = self.taken

    def mark(self) -> Mark:
        """Return the file's mark as it is now."""
        if self.path is None:
            return ()
        try:
            found = self.path.stat()
        except OSError as error:
            return (error.errno or 0,)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def has_changed(self) -> bool:
        """Tell whether there is something new that was the same at the last look.

        One that is still being written is left alone until its writer pauses.
        """
        now, before = self.mark(), self._last_look
        self._last_look = now
        return now == before != self.taken


class Reloading:
    """Looks at the file each second, and applies what a running process can take over."""

    def __init__(
        self,
        file: WatchedFile,
        config: Config,
        load: Callable[[], Config],
        apply: Callable[[Config], Awaitable[None]],
    ) -> None:
        self.config = config
        self._file = file
        self._load = load
        self._apply = apply
        self._asked = asyncio.Event()
        self._tasks = Tasks("reload")
        CONFIG_LOADED_AT.set(time.time())

    def start(self) -> None:
        """Begin to look, and to listen to SIGHUP."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        self._tasks.supervise("look", self._run)

    async def stop(self) -> None:
        """Change nothing more."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._asked.wait()
            asked = self._asked.is_set()
            self._asked.clear()
            if self._file.path is None:
                if asked:
                    _log.warning("there is no configuration file to read again: use --config")
            elif await asyncio.to_thread(self._file.has_changed) or asked:
                await self._reload()

    async def _reload(self) -> None:
        """Read the file and apply it; what fails in an unforeseen way is tried again soon."""
        mark = await asyncio.to_thread(self._file.mark)
        try:
            found = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self._file.taken = mark
            CONFIG_RELOADS.labels("refused").inc()
            _log.error("the new configuration is not used", error=str(error))
            return
        if mark != await asyncio.to_thread(self._file.mark):
            # It changed while it was read; the next look finds it.
            return
        await self._take(found)
        self._file.taken = mark

    async def _take(self, found: Config) -> None:
        config, fixed = takeable(self.config, found)
        told = changes(self.config, config)
        if fixed:
            _log.warning("needs a restart; the old value stays", keys=fixed)
        try:
            await self._apply(config)
        except BaseException:
            CONFIG_RELOADS.labels("failed").inc()
            raise
        self.config = config
        CONFIG_RELOADS.labels("applied").inc()
        CONFIG_LOADED_AT.set(time.time())
        _log.info("configuration applied", changes=told or ["nothing changed"])
