"""The settings that doors read at each exchange, so that a reload reaches them all at once."""

from __future__ import annotations

from schemas.config import Config, ServerConfig
from schemas.destinations import AllowList
from schemas.request import ENDPOINTS


class Settings:
    """The part of the configuration that has no room of its own in the api."""

    def __init__(self, config: Config) -> None:
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take `config`."""
        self.config = config
        self.server: ServerConfig = config.server
        self.keyless = not config.has_keys
        self.further_endpoints = tuple(e for e in config.endpoints if e not in ENDPOINTS)
        self.endpoints = (*ENDPOINTS, *self.further_endpoints)
        self.webhooks_allowed = AllowList(config.webhooks.allow)
