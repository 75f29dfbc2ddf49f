"""A LiteLLM proxy's config.yaml becomes one of ours, and says what did not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.config import load_config
from cli.from_litellm import converted
from schemas.config import Config

ENVIRONMENT = dict.fromkeys(("OPENAI_API_KEY", "MASTER", "KEY", "GROQ_API_KEY"), "k" * 20)


def deployment(name: str, model: str, **params: object) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **params}}


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    """Convert, load as penstock.yaml, and return the configuration with what was left out."""

    def load(source: dict[str, Any]) -> tuple[Config, str]:
        done = converted(source)
        path = tmp_path / "penstock.yaml"
        path.write_text(done.text())
        return load_config(path, {**ENVIRONMENT, "BASE": "http://base/v1"}), "\n".join(
            done.left_out
        )

    return load


def test_deployments_of_one_name_are_weighted_targets_of_one_model(loaded: Any) -> None:
    gpu = {"api_base": "http://gpu:8000/v1", "weight": 3, "max_parallel_requests": 4, "timeout": 9}
    config, left_out = loaded(
        {
            "model_list": [
                deployment("chat", "hosted_vllm/meta/llama", **gpu),
                deployment("chat", "openai/gpt-4o", api_key="os.environ/KEY"),
                deployment("other", "hosted_vllm/x", **gpu),
            ]
        }
    )
    targets = [(t.backend, t.model, t.weight) for t in config.models["chat"].targets]
    assert targets == [("gpu", "meta/llama", 3), ("openai", "gpt-4o", 1)]
    backend = config.backends["gpu"]
    assert (backend.urls, backend.concurrency, backend.timeout_s) == (["http://gpu:8000/v1"], 4, 9)
    assert config.backends["openai"].api_key == "k" * 20
    assert config.models["other"].targets[0].backend == "gpu"
    assert left_out == ""


def test_other_settings_make_another_backend(loaded: Any) -> None:
    config, _ = loaded(
        {
            "model_list": [
                deployment("a", "openai/a", max_parallel_requests=1),
                deployment("b", "openai/b", max_parallel_requests=2),
                deployment("c", "groq/c"),
                deployment("d", "ollama/d", api_base="http://localhost:11434/"),
                deployment("e", "openai/e", api_base="os.environ/BASE"),
                deployment("f", "gpt-bare"),
            ]
        }
    )
    assert config.backends["openai"].concurrency == 1
    assert config.backends["openai-2"].concurrency == 2
    assert config.backends["groq"].urls == ["https://api.groq.com/openai/v1"]
    assert config.backends["localhost"].urls == ["http://localhost:11434/v1"]
    assert config.backends["base"].urls == ["http://base/v1"]
    assert config.models["f"].targets[0].model == "gpt-bare"


def test_a_deployment_s_rates_are_those_of_a_backend_of_its_own(loaded: Any) -> None:
    gpu = {"api_base": "http://gpu:8000/v1", "rpm": 60}
    config, left_out = loaded(
        {
            "model_list": [
                deployment("a", "hosted_vllm/a", **gpu, tpm=9_000),
                deployment("b", "hosted_vllm/b", **gpu),
                deployment("c", "hosted_vllm/c", **gpu),
                deployment("d", "hosted_vllm/d", api_base="http://gpu:8000/v1"),
            ],
            "router_settings": {"default_max_parallel_requests": 5},
        }
    )
    backends = [config.backends[config.models[name].targets[0].backend] for name in "abcd"]
    assert [(each.rpm, each.tpm) for each in backends] == [
        (60, 9_000),
        (60, None),
        (60, None),
        (None, None),
    ]
    assert {each.concurrency for each in backends} == {5}
    assert len(config.backends) == 4, "the rate of one deployment is not shared with another"
    assert left_out == ""


def test_retries_aliases_and_the_master_key_are_taken_over(loaded: Any) -> None:
    config, left_out = loaded(
        {
            "model_list": [deployment("a", "openai/a")],
            "router_settings": {
                "num_retries": 2,
                "model_group_alias": {"b": "a", "c": {"model": "a", "hidden": True}, "d": "none"},
            },
            "general_settings": {"master_key": "os.environ/MASTER"},
        }
    )
    assert config.models["a"].retry.max_attempts == 3
    assert config.aliases == {"b": "a", "c": "a"}
    assert config.server.admin_key == "k" * 20
    assert left_out == "alias d: there is no model none here."


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"model": "azure/gpt", "api_base": "https://h"}, "azure does not speak OpenAI's protocol"),
        ({"model": "hosted_vllm/x"}, "it has no api_base"),
        ({"model": "hosted_vllm/x", "api_base": 7}, "it has no api_base"),
        ({"model": 7}, "it has no model_name or model"),
        ({"model": "openai/gpt-*"}, "a target is one model"),
        ({"model": "openai/x", "rpm": "many"}, "rpm: it is no whole number above 0"),
        ({"model": "openai/x", "tpm": 0}, "tpm: it is no whole number above 0"),
        ({"model": "openai/x", "temperature": 0}, "temperature: Penstock passes bodies on as sent"),
    ],
)
def test_what_cannot_be_taken_over_is_told(params: dict[str, Any], told: str) -> None:
    done = converted({"model_list": [{"model_name": "m", "litellm_params": params}]})
    assert told in "\n".join(done.left_out)
    assert told in done.text()


def test_fallbacks_and_unknown_sections_are_told() -> None:
    source: dict[str, Any] = {
        "router_settings": {"fallbacks": [{"a": ["b"]}], "routing_strategy": "x"},
        "general_settings": {"database_url": "postgres://u:p@h", "master_key": "sk-1234"},
        "litellm_settings": {"drop_params": True},
        "environment_variables": {"A": "b"},
    }
    told = "\n".join(converted(source).left_out)
    for name in ("fallbacks", "routing_strategy", "database_url", "drop_params", "environment_var"):
        assert name in told
    assert "set PENSTOCK_ADMIN_KEY to it" in told


def test_no_key_is_copied() -> None:
    source = {
        "model_list": [deployment("m", "openai/x", api_base="http://gpu/v1", api_key="sk-secret")],
        "general_settings": {"master_key": "sk-secret"},
    }
    text = converted(source).text()
    assert "sk-secret" not in text
    assert yaml.safe_load(text)["backends"]["gpu"]["api_key"] == "${GPU_API_KEY}"


@pytest.mark.parametrize(
    "content", [None, 7, "x", [], {"model_list": 7}, {"model_list": [7, None]}]
)
def test_nonsense_is_no_traceback(content: Any) -> None:
    done = converted(content if isinstance(content, dict) else {"model_list": content})
    assert done.sections["models"] == {}


def test_a_comment_is_one_line_whatever_a_name_holds() -> None:
    done = converted({"model_list": [deployment("a\nserver: {port: 1}\n", "azure/x")]})
    assert yaml.safe_load(done.text()) == {"backends": {}, "models": {}}
