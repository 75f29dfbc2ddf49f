"""Where one RabbitMQ node lives: its folder and ports, and the environment its programs need."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.provision import rabbitmq_program

_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
# One scheduler that sleeps when there is nothing to do: by default it spins, and others wait.
_LEAN = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"

_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = info
"""


# As the README advises: by default a message that leaves a tier while RabbitMQ restarts can be
# held for three minutes before it is tried again.
_ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]}].\n"


@dataclass(frozen=True)
class RabbitMQPlace:
    """Enough to reach a node from any process: plain values, so that it can be written down."""

    folder: str
    port: int
    distribution_port: int
    epmd_port: int

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def pid_file(self) -> Path:
        return self.path / "node.pid"

    def url(self, vhost: str = "/") -> str:
        """The AMQP URL; `vhost` is the default one unless given."""
        name = "%2F" if vhost == "/" else vhost
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def environment(self) -> dict[str, str]:
        """Every path is set: one left out would point below /etc or /var."""
        here = self.path
        return {
            **{name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ},
            **rabbitmq_program().environment,
            "HOME": str(here / "home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"penstock-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(self.pid_file),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK} {_LEAN}",
            "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK,
        }

    def lay(self, cookie: str) -> None:
        """Make the folder's files; harmless when they are there."""
        for name in ("home", "data", "log", "generated"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        (self.path / "rabbitmq.conf").write_text(_CONFIG.format(port=self.port))
        (self.path / "advanced.config").write_text(_ADVANCED)
        (self.path / "enabled_plugins").write_text("[].\n")
        secret = self.path / "home" / ".erlang.cookie"
        if not secret.exists():
            secret.write_text(cookie)
            secret.chmod(0o400)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl against the node; about a second a call."""
        done = subprocess.run(
            [str(rabbitmq_program().folder / "rabbitmqctl"), *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def program(self, directory: Path) -> Path:
        """Write a program that runs rabbitmqctl against the node, as the one on a PATH would."""
        program = directory / "rabbitmqctl"
        real = rabbitmq_program().folder / "rabbitmqctl"
        named = [f"export {name}={shlex.quote(text)}" for name, text in self.environment().items()]
        lines = ["#!/bin/sh", *named, f'exec {shlex.quote(str(real))} "$@"', ""]
        program.write_text("\n".join(lines))
        program.chmod(0o755)
        return program

    def add_vhost(self, name: str) -> str:
        """Make the vhost, open to the tests' user, and return its URL."""
        self.control("add_vhost", name)
        self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return self.url(name)
