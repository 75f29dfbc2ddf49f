"""What every test may ask for: the session's real servers, and an environment without ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from schemas.blob_config import S3Config
from tests.fakes.nursery import Nursery
from tests.fakes.process import Process
from tests.servers.s3 import bucket_at
from tests.servers.session import SHARED, SharedServers

pytest_plugins = ["tests.report"]

_INPUT = "penstock_shared"

# The suite has a quarter of an hour; every run tries others.
settings.register_profile("suite", max_examples=50)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    for name in list(os.environ):
        if name.startswith("PENSTOCK_") and not name.startswith("PENSTOCK_TEST_"):
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what runs in the background; every child of ours would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    given = _given_by_controller(config)
    shared = SharedServers(Path(given[0]), given[1]) if given else SharedServers.for_this_process()
    config.stash[SHARED] = shared


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each xdist worker where the session's servers are found."""
    shared = node.config.stash[SHARED]
    node.workerinput[_INPUT] = (str(shared.folder), shared.owner)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _given_by_controller(config) is None and SHARED in config.stash:
        config.stash[SHARED].stop()


def _given_by_controller(config: pytest.Config) -> tuple[str, int] | None:
    given: tuple[str, int] | None = getattr(config, "workerinput", {}).get(_INPUT)
    return given


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> SharedServers:
    """The servers this session shares."""
    return pytestconfig.stash[SHARED]


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where the processes of short tests are born; not where a start or shared memory counts."""
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def born_in_a_nursery(nursery: Nursery) -> Iterator[None]:
    """Have the module's processes be born there."""
    Process.nursery = nursery
    yield
    Process.nursery = None


@pytest.fixture(scope="session")
def worker_name() -> str:
    """`gw0`, `gw1`, …, or `master` when the tests run in one process."""
    return os.environ.get("PYTEST_XDIST_WORKER", "master")


@pytest.fixture(scope="session")
def amqp_url(servers: SharedServers, worker_name: str) -> str:
    """The session's RabbitMQ, in a vhost of this worker's own."""
    return servers.amqp_url(worker_name)


@pytest.fixture(scope="session")
def redis_url(servers: SharedServers, worker_name: str) -> str:
    """The session's Redis, in a database of this worker's own."""
    return servers.redis_url(worker_name)


@pytest.fixture(scope="session")
def redis_cluster(servers: SharedServers) -> str:
    """The session's Redis Cluster of three masters, shared by all workers."""
    return servers.redis_cluster_url()


@pytest.fixture
def s3(servers: SharedServers) -> S3Config:
    """The session's S3 server, with a prefix of this test's own."""
    return bucket_at(servers.s3_url())
