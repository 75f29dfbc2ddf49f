"""Routes: names, aliases and wildcards, for any names at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.routes import Route, Routes, fill, matched

PLAIN = st.text(st.characters(exclude_characters="*"), max_size=8)
NAME = PLAIN.filter(bool)
PATTERN = st.tuples(PLAIN, PLAIN).map("*".join)
SHORT = st.text("ab-", max_size=4)


@given(PLAIN, PLAIN, st.text(max_size=8))
def test_a_pattern_gives_back_the_text_it_stood_for(before: str, after: str, text: str) -> None:
    assert matched(f"{before}*{after}", before + text + after) == text


@given(PATTERN, NAME)
def test_what_a_pattern_fits_is_its_ends_around_the_text(pattern: str, name: str) -> None:
    text = matched(pattern, name)
    before, after = pattern.split("*")
    fits = name.startswith(before) and name[len(before) :].endswith(after)
    assert fits if text is not None else not fits
    if text is not None:
        assert pattern.replace("*", text) == name


@given(PATTERN, st.text(max_size=8))
def test_a_target_like_its_pattern_is_called_by_what_was_asked(pattern: str, text: str) -> None:
    asked = pattern.replace("*", text)
    assert fill(pattern, pattern, asked) == asked


@given(PATTERN, PATTERN, st.text(max_size=8))
def test_the_text_is_filled_into_the_targets_name(pattern: str, target: str, text: str) -> None:
    assert fill(pattern, target, pattern.replace("*", text)) == target.replace("*", text)


@given(st.one_of(NAME, PATTERN), NAME, NAME)
def test_a_target_without_a_wildcard_has_one_name(key: str, target: str, asked: str) -> None:
    assert fill(key, target, asked) == target


@given(st.sets(NAME), NAME)
def test_names_without_wildcards_mean_themselves_alone(models: set[str], asked: str) -> None:
    route = Routes(models).resolve(asked)
    assert route == (Route(asked, asked) if asked in models else None)


@given(st.sets(st.tuples(SHORT, SHORT).map("*".join)), SHORT)
def test_the_pattern_with_most_text_before_its_wildcard_is_taken(
    patterns: set[str], asked: str
) -> None:
    fitting = [pattern for pattern in patterns if matched(pattern, asked) is not None]
    route = Routes(patterns).resolve(asked)
    assert (route is None) == (not fitting)
    if route is not None:
        assert route.name.index("*") == max(pattern.index("*") for pattern in fitting)


def test_a_name_wins_over_an_alias_and_an_alias_over_a_wildcard() -> None:
    routes = Routes(["gpt-4", "llama", "llama-*", "*"], {"gpt-4": "llama", "llama-tiny": "llama"})
    assert routes.resolve("gpt-4") == Route("gpt-4", "gpt-4")
    assert routes.resolve("llama-tiny") == Route("llama", "llama-tiny")
    assert routes.resolve("llama-3") == Route("llama-*", "llama-3")
    assert routes.resolve("else") == Route("*", "else")


def test_an_alias_of_a_model_that_is_gone_leads_nowhere() -> None:
    assert Routes(["*"], {"old": "gone"}).resolve("old") is None


def test_a_client_may_ask_for_the_text_of_a_pattern() -> None:
    assert Routes(["llama-*"]).resolve("llama-*") == Route("llama-*", "llama-*")
