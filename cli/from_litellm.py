"""A LiteLLM proxy's config.yaml as a penstock.yaml. Pure: no file, no environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

# Providers that speak OpenAI's protocol, with the URL that LiteLLM knows for them.
_PROVIDERS: dict[str, str | None] = {
    "openai": "https://api.openai.com/v1",
    "text-completion-openai": "https://api.openai.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "together_ai": "https://api.together.xyz/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "xai": "https://api.x.ai/v1",
    "hosted_vllm": None,
    "openai_like": None,
    "custom_openai": None,
    "litellm_proxy": None,
    "llamafile": None,
    "lm_studio": None,
    "ollama": None,
    "ollama_chat": None,
}
_TAKEN = {"model", "api_base", "base_url", "api_key", "custom_llm_provider", "weight"}
_TAKEN |= {"timeout", "max_parallel_requests"}
# Limits of one deployment, which ours are where it has a backend of its own.
_RATES = ("rpm", "tpm")
_WHY = {
    "fallbacks": "there are no fallbacks; several targets of one model share its load",
    "routing_strategy": "load goes by weight, and over a backend's urls by what runs there",
    "database_url": "keys stand in the file: `penstock keys new` makes one",
}
_OF_THE_ROUTER = {"num_retries", "model_group_alias", "default_max_parallel_requests"}
_FROM_ENVIRONMENT = "os.environ/"


@dataclass(slots=True)
class Converted:
    """Sections of a penstock.yaml, and a sentence for each thing that is not in it."""

    sections: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the file, the sentences as comments at its top."""
        head = ["Converted from a LiteLLM proxy configuration."]
        if self.left_out:
            head += ["Not taken over:", *(f"- {told}" for told in self.left_out)]
        comment = "".join(f"# {' '.join(line.split())}\n" for line in head)
        return comment + yaml.safe_dump(self.sections, sort_keys=False, allow_unicode=True)


def converted(source: Mapping[str, Any]) -> Converted:
    """Convert the content of a config.yaml."""
    return _Conversion(source).done


class _Conversion:
    def __init__(self, source: Mapping[str, Any]) -> None:
        self.done = Converted()
        self._general = _mapping(source.get("general_settings"))
        self._settings = _mapping(source.get("litellm_settings"))
        self._router = _mapping(source.get("router_settings"))
        self._backends: dict[str, dict[str, Any]] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}
        for number, entry in enumerate(_list(source.get("model_list")), 1):
            self._deployment(number, _mapping(entry))
        self._retries()
        self._add_aliases()
        self._server()
        self._tell_the_rest(source)
        self.done.sections.update(backends=self._backends, models=self._models)
        if self._aliases:
            self.done.sections["aliases"] = self._aliases

    def _deployment(self, number: int, entry: Mapping[str, Any]) -> None:
        params = _mapping(entry.get("litellm_params"))
        name, asked = entry.get("model_name"), params.get("model")
        if not (isinstance(name, str) and isinstance(asked, str)):
            self._leave_out(f"model_list entry {number}", "it has no model_name or model")
            return
        provider, model = asked.split("/", 1) if "/" in asked else ("", asked)
        provider = str(params.get("custom_llm_provider") or provider or "openai")
        where = f"model {name} ({asked})"
        if provider not in _PROVIDERS:
            self._leave_out(where, f"{provider} does not speak OpenAI's protocol")
            return
        url = self._url(provider, params)
        if url is None:
            self._leave_out(where, "it has no api_base")
            return
        if "*" in model and model not in ("*", name):
            self._leave_out(where, "a target is one model, or the name that was asked for")
            return
        target: dict[str, Any] = {"backend": self._backend(provider, url, params, where)}
        if "*" not in model:
            target["model"] = model
        if isinstance(params.get("weight"), int | float):
            target["weight"] = params["weight"]
        self._models.setdefault(name, {"targets": []})["targets"].append(target)
        for key in _RATES:
            if key in params and not _is_count(params[key]):
                self._leave_out(f"{where}: {key}", "it is no whole number above 0")
        for key in params.keys() - _TAKEN - {*_RATES}:
            self._leave_out(f"{where}: {key}", _WHY.get(key, "Penstock passes bodies on as sent"))

    def _url(self, provider: str, params: Mapping[str, Any]) -> str | None:
        given = params.get("api_base") or params.get("base_url") or _PROVIDERS[provider]
        if not isinstance(given, str):
            return None
        url = _variable(given) or given.rstrip("/")
        # LiteLLM speaks Ollama's own protocol there; Penstock its OpenAI-shaped one.
        ours = provider.startswith("ollama") and not url.endswith("/v1")
        return f"{url}/v1" if ours else url

    def _backend(self, provider: str, url: str, params: Mapping[str, Any], where: str) -> str:
        """Return the name of the backend, which deployments with the same settings share.

        One with a rate is shared with nobody: the rate is that of one deployment.
        """
        known = _PROVIDERS[provider]
        settings: dict[str, Any] = {"urls": [url]}
        stem = provider if url == known else urlsplit(url).hostname or url.strip("${}").lower()
        key = params.get("api_key")
        if isinstance(key, str) and key:
            settings["api_key"] = _variable(key) or f"${{{_constant(stem)}_API_KEY}}"
            if _variable(key) is None:
                what = f"set the variable {_constant(stem)}_API_KEY to it"
                self._leave_out(f"{where}: api_key", f"keys are not copied; {what}")
        elif url == known:
            settings["api_key"] = f"${{{_constant(provider)}_API_KEY}}"
        default = self._router.get("default_max_parallel_requests")
        if _is_count(limit := params.get("max_parallel_requests", default)):
            settings["concurrency"] = limit
        rates = {key: params[key] for key in _RATES if _is_count(params.get(key))}
        settings.update(rates)
        timeout_s = params.get("timeout", self._settings.get("request_timeout"))
        if isinstance(timeout_s, int | float) and timeout_s > 0:
            settings["timeout_s"] = timeout_s
        for name, other in self._backends.items():
            if other == settings and not rates:
                return name
        names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(self._backends) + 2))
        name = next(name for name in names if name not in self._backends)
        self._backends[name] = settings
        return name

    def _retries(self) -> None:
        retries = self._router.get("num_retries", self._settings.get("num_retries"))
        if isinstance(retries, int) and 0 <= retries < 100:
            for model in self._models.values():
                model["retry"] = {"max_attempts": retries + 1}

    def _add_aliases(self) -> None:
        for alias, meant in _mapping(self._router.get("model_group_alias")).items():
            model = meant.get("model") if isinstance(meant, Mapping) else meant
            if alias in self._models:
                self._leave_out(f"alias {alias}", "it is the name of a model")
            elif model not in self._models:
                self._leave_out(f"alias {alias}", f"there is no model {model} here")
            else:
                self._aliases[alias] = model

    def _server(self) -> None:
        key = self._general.get("master_key")
        if not isinstance(key, str):
            return
        if variable := _variable(key):
            self.done.sections["server"] = {"admin_key": variable}
        else:
            self._leave_out("master_key", "keys are not copied; set PENSTOCK_ADMIN_KEY to it")

    def _tell_the_rest(self, source: Mapping[str, Any]) -> None:
        sections = ("model_list", "general_settings", "litellm_settings", "router_settings")
        for key in source.keys() - set(sections):
            self._leave_out(key, "there is nothing like it here")
        for section, settings, taken in (
            ("general_settings", self._general, {"master_key"}),
            ("litellm_settings", self._settings, {"num_retries", "request_timeout"}),
            ("router_settings", self._router, _OF_THE_ROUTER),
        ):
            for key in settings.keys() - taken:
                self._leave_out(f"{section}.{key}", _WHY.get(key, "there is nothing like it here"))
        self.done.left_out.sort()

    def _leave_out(self, what: str, why: str) -> None:
        self.done.left_out.append(f"{what}: {why}.")


def _variable(text: str) -> str | None:
    """Return LiteLLM's `os.environ/NAME` as `${NAME}`."""
    if not text.startswith(_FROM_ENVIRONMENT):
        return None
    return f"${{{_constant(text.removeprefix(_FROM_ENVIRONMENT), upper=False)}}}"


def _constant(text: str, *, upper: bool = True) -> str:
    safe = re.sub(r"[^A-Za-z0-9_]", "_", text)
    safe = safe if re.match(r"[A-Za-z_]", safe) else f"_{safe}"
    return safe.upper() if upper else safe


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Iterator[Any]:
    yield from value if isinstance(value, list) else ()
