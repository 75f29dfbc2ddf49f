"""compose.yaml agrees with what Penstock reads, listens on and writes; no part has more rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from broker.config import ENVIRONMENT, load_config
from cli.initialising import CONFIG_FILE, run
from schemas.config import BackendConfig, Config
from tests.contract.test_image import environment
from tests.fakes.deployment import (
    ROOT,
    other_variables,
    read_compose,
    read_env,
    required_variables,
    seconds,
)

SERVICES = ("api", "worker", "rabbitmq", "redis")
OURS = ("api", "worker")
READ_BY_PENSTOCK = {*ENVIRONMENT, "PENSTOCK_LISTEN"}
# After `drain_s`: connections are closed, the engine is left.
CLOSING_S = 15
DEFAULTS = Config().server


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `penstock init --engine rabbitmq` writes."""
    directory = tmp_path_factory.mktemp("installation")
    run(directory, "rabbitmq", "http://host.docker.internal:11434/v1", force=False)
    return directory


@pytest.fixture(scope="module")
def secrets(installation: Path) -> dict[str, str]:
    return read_env(installation / ".env")


@pytest.fixture(scope="module")
def compose(secrets: dict[str, str]) -> dict[str, Any]:
    return read_compose(secrets)


@pytest.fixture(params=SERVICES)
def service(compose: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"][request.param]
    return found


def test_every_variable_is_written_by_init_and_a_missing_one_says_so(
    secrets: dict[str, str],
) -> None:
    assert set(required_variables()) <= set(secrets)
    assert set(required_variables().values()) == {"run penstock init --engine rabbitmq"}
    assert other_variables() == []


def test_these_are_the_parts(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_our_parts_set_only_variables_that_penstock_reads(
    compose: dict[str, Any], name: str
) -> None:
    assert set(compose["services"][name]["environment"]) <= READ_BY_PENSTOCK


@pytest.mark.parametrize("name", OURS)
def test_a_part_s_configuration_loads_and_stands_on_the_other_parts(
    compose: dict[str, Any], installation: Path, name: str
) -> None:
    environment = compose["services"][name]["environment"]
    server = load_config(installation / CONFIG_FILE, environment).server
    assert server.amqp_url is not None
    assert server.redis_url is not None
    amqp, redis = urlsplit(server.amqp_url), urlsplit(server.redis_url)
    assert (amqp.hostname, amqp.port) == ("rabbitmq", 5672)
    assert (redis.hostname, redis.port) == ("redis", 6379)
    made = compose["services"]["rabbitmq"]["environment"]
    assert amqp.username == made["RABBITMQ_DEFAULT_USER"] != "guest"
    assert amqp.password == made["RABBITMQ_DEFAULT_PASS"]
    assert redis.password == compose["services"]["redis"]["command"][-1]


def test_the_admin_key_opens_the_door_beyond_loopback_and_the_worker_does_not_get_it(
    compose: dict[str, Any], installation: Path
) -> None:
    api, worker = (compose["services"][name]["environment"] for name in OURS)
    config = load_config(installation / CONFIG_FILE, api)
    assert config.has_keys
    assert config.server.admin_key is not None
    assert (config.server.host, config.server.port) == ("0.0.0.0", DEFAULTS.port)
    assert "PENSTOCK_ADMIN_KEY" not in worker


def test_only_the_api_is_published_on_loopback_and_on_the_port_it_listens_on(
    compose: dict[str, Any],
) -> None:
    published = {
        name: part["ports"] for name, part in compose["services"].items() if "ports" in part
    }
    assert published == {"api": [f"127.0.0.1:{DEFAULTS.port}:{DEFAULTS.port}"]}
    assert f":{DEFAULTS.port}/ready" in compose["services"]["api"]["healthcheck"]["test"][-1]


def test_rabbitmq_and_redis_are_reached_from_inside_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    networks = {name: set(part["networks"]) for name, part in compose["services"].items()}
    assert networks["rabbitmq"] == networks["redis"] == {"inside"}
    assert networks["api"] == networks["worker"] == {"default", "inside"}


def test_a_part_can_do_no_more_than_it_must(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert "privileged" not in service
    # Our own image names its user itself (test_image.py).
    assert service.get("user") in {"rabbitmq", "valkey"} or service["build"] == "."


def test_a_part_is_restarted_watched_and_its_log_cannot_fill_the_disk(
    service: dict[str, Any],
) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) <= seconds(check["interval"])
    assert {"retries", "start_period"} <= set(check)


def test_images_are_pinned_to_a_minor_version(compose: dict[str, Any]) -> None:
    images = {name: compose["services"][name]["image"] for name in ("rabbitmq", "redis")}
    assert all(re.fullmatch(r"[a-z/]+:[0-9]+\.[0-9]+", image) for image in images.values()), images


@pytest.mark.parametrize("name", OURS)
def test_our_parts_wait_for_the_others_and_have_time_to_drain(
    compose: dict[str, Any], name: str
) -> None:
    part = compose["services"][name]
    healthy = {"condition": "service_healthy"}
    assert part["depends_on"] == {"rabbitmq": healthy, "redis": healthy}
    assert seconds(part["stop_grace_period"]) >= DEFAULTS.drain_s + CLOSING_S


def test_every_mounted_file_is_there_and_read_only_and_all_else_is_a_volume(
    compose: dict[str, Any], service: dict[str, Any]
) -> None:
    for mount in service["volumes"]:
        source, _, *mode = mount.split(":")
        if source.startswith("./"):
            assert mode == ["ro"], mount
            assert source == f"./{CONFIG_FILE}" or (ROOT / source).is_file(), mount
        else:
            assert source in compose["volumes"], mount


@pytest.mark.parametrize("name", OURS)
def test_our_parts_read_the_file_that_is_mounted(compose: dict[str, Any], name: str) -> None:
    part = compose["services"][name]
    mount, _ = part["volumes"]
    command = part["command"]
    assert command[command.index("--config") + 1] == mount.split(":")[1]


def test_our_parts_share_the_directory_of_blobs(compose: dict[str, Any]) -> None:
    """And it is the one that the image names, so that its volume takes over the image's user."""
    shared = {compose["services"][name]["volumes"][1] for name in OURS}
    (mount,) = shared
    assert mount == f"blobs:{environment()['PENSTOCK_DATA_DIR']}"


def test_the_worker_s_alive_file_is_the_one_that_is_looked_at(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    command = worker["command"]
    alive = command[command.index("--alive-file") + 1]
    assert alive == worker["healthcheck"]["test"][-1]
    assert str(Path(alive).parent) in worker["tmpfs"]


def test_rabbitmq_waits_longer_than_a_backend_may_take() -> None:
    text = (ROOT / "deploy" / "rabbitmq.conf").read_text()
    found = re.search(r"^consumer_timeout = (\d+)$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) / 1000 > 10 * BackendConfig(urls=["http://h"]).timeout_s
