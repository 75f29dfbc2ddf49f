"""`python -m tests.servers up`: RabbitMQ and Redis on loopback until Ctrl-C, and their URLs."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from tests.servers import host
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer


def _up() -> None:
    """The lines printed are for another shell: `make test` there then starts nothing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="penstock-servers-") as name:
        rabbitmq = RabbitMQNode(Path(name) / "rabbitmq")
        redis = RedisServer(Path(name) / "redis", appendfsync="everysec")
        try:
            redis.start()
            rabbitmq.start()
            print(f"# RabbitMQ {rabbitmq.version} and Redis {redis.version}, until Ctrl-C")
            for prefix in ("PENSTOCK_TEST", "PENSTOCK"):
                print(f"export {prefix}_AMQP_URL={rabbitmq.url}")
                print(f"export {prefix}_REDIS_URL={redis.url}", flush=True)
            signal.pause()
        finally:
            rabbitmq.stop()
            redis.stop()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["up"]:
            try:
                _up()
            except KeyboardInterrupt:
                sys.exit(130)
        case ["host", kind, folder, owner] if kind in host.KINDS:
            host.run(kind, Path(folder), int(owner))
        case _:
            sys.exit("usage: python -m tests.servers up")


if __name__ == "__main__":
    main(sys.argv[1:])
