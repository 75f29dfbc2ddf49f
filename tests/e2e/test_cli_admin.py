"""The verbs of an operator: lists, dead letters, bulk cancel, keys in and out of sight."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.penstock import on_terminal, penstock, started
from tests.fakes.admin import ADMIN_KEY, USER_KEY, FakeAdmin, fake_admin


@pytest.fixture
def fake() -> Iterator[FakeAdmin]:
    with fake_admin() as running:
        yield running


@pytest.fixture
def env(fake: FakeAdmin) -> dict[str, str]:
    return {"PENSTOCK_URL": fake.url, "PENSTOCK_ADMIN_KEY": ADMIN_KEY}


def safe(shown: str) -> bool:
    return not any((char < " " and char != "\n") or "\x7f" <= char < "\xa0" for char in shown)


def test_the_tables_show_models_and_backends(env: dict[str, str]) -> None:
    models = penstock("models", "list", env=env)
    assert models.returncode == 0, models.stderr
    assert "meta/llama on gpu (1)" in models.stdout
    backends = penstock("backends", "list", env=env)
    assert "http://gpu/v1" in backends.stdout
    listed = json.loads(penstock("backends", "list", "--json", env=env).stdout)
    assert [backend["id"] for backend in listed] == ["gpu"]


def test_status_shows_the_backends_to_an_admin_only(fake: FakeAdmin, env: dict[str, str]) -> None:
    # The tenant's key is for the models, the admin's for the backends.
    both = penstock("status", env={**env, "PENSTOCK_API_KEY": USER_KEY})
    assert "llama" in both.stdout
    assert "http://gpu/v1" in both.stdout
    listed = json.loads(penstock("status", "--json", env=env).stdout)
    assert [len(listed[name]) for name in ("models", "backends")] == [1, 1]
    assert [each["state"] for each in (*listed["models"], *listed["backends"])] == ["running"] * 2
    user = penstock("status", "--url", fake.url, "--api-key", USER_KEY)
    assert (user.returncode, user.stderr) == (0, "")
    assert "http://gpu/v1" not in user.stdout
    assert "state" not in user.stdout


@pytest.mark.parametrize(("kind", "name"), [("models", "llama"), ("backends", "gpu")])
def test_a_switch_is_used_and_shown(
    fake: FakeAdmin, env: dict[str, str], kind: str, name: str
) -> None:
    for verb, state in (("pause", "paused"), ("drain", "draining")):
        done = penstock(kind, verb, name, env=env)
        assert (done.returncode, done.stdout) == (0, f"{name} {state}\n"), done.stderr
        assert fake.states[f"{kind}/{name}"] == state
        assert state in penstock(kind, "list", env=env).stdout
        assert state in penstock("status", env=env).stdout
    told = penstock(kind, "resume", name, "--json", env=env).stdout
    assert json.loads(told)["state"] == "running"


def test_an_unknown_name_does_not_stop_the_others(fake: FakeAdmin, env: dict[str, str]) -> None:
    done = penstock("models", "drain", "none", "llama", env=env)
    assert (done.returncode, done.stdout) == (1, "llama draining\n")
    assert done.stderr == "penstock: none: This model is not served here.\n"
    assert penstock("models", "pause", env=env).returncode == 2
    user = penstock("backends", "pause", "gpu", "--url", fake.url, "--api-key", USER_KEY)
    assert (user.returncode, fake.states["backends/gpu"]) == (1, "running")
    assert "set PENSTOCK_ADMIN_KEY" in user.stderr


@pytest.mark.parametrize(
    ("arguments", "key", "told"),
    [
        (("models", "list"), "", "no key was sent: set PENSTOCK_ADMIN_KEY"),
        (("models", "list"), USER_KEY, "set PENSTOCK_ADMIN_KEY, or --api-key, to the server's"),
        (("status",), "", "no key was sent: set PENSTOCK_API_KEY"),
        (("status",), "psk_wrong", "does not open this: set PENSTOCK_API_KEY"),
        (("submit", "-p", "x", "--model", "llama"), "psk_wrong", "set PENSTOCK_API_KEY"),
        (("dead-letters", "redrive", "req_1"), USER_KEY, "set PENSTOCK_ADMIN_KEY"),
        (("cancel", "req_1", "req_2"), "", "set PENSTOCK_API_KEY"),
    ],
)
def test_a_wrong_key_is_told_with_the_variable_to_set(
    fake: FakeAdmin, arguments: tuple[str, ...], key: str, told: str
) -> None:
    given = ("--api-key", key) if key else ()
    refused = penstock(*arguments, "--url", fake.url, *given)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not key or key not in refused.stderr


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://127.0.0.1:1", "psk_secret\n"),
        ("http://127.0.0.1:1", "psk_secrét"),
        ("http://user:psk_secret@127.0.0.1:1", ""),
        ("psk_secret", ""),
        ("http://127.0.0.1:1", "psk_secret"),
        ("http://[psk_secret", ""),
        ("http://127.0.0.1:psk_secret", ""),
        ("http://127.0.0.1:99999", "psk_secret"),
    ],
)
def test_a_key_never_shows_up_in_an_error(url: str, key: str) -> None:
    refused = penstock("status", env={"PENSTOCK_URL": url, "PENSTOCK_API_KEY": key})
    assert refused.returncode in (2, 3)
    assert refused.stderr.startswith("penstock: ")
    assert "Traceback" not in refused.stderr
    assert "psk_secr" not in refused.stdout + refused.stderr


def test_dead_letters_are_listed_over_pages_and_steer_no_terminal(env: dict[str, str]) -> None:
    listed = penstock("dead-letters", "list", env=env)
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == 1 + 5
    assert "red[bold]x[/bold] next" in listed.stdout
    assert safe(listed.stdout)
    limited = penstock("dead-letters", "list", "--limit", "3", "--json", env=env)
    assert len(json.loads(limited.stdout)) == 3
    assert (
        json.loads(penstock("dead-letters", "list", "--model", "x", "--json", env=env).stdout) == []
    )


def test_a_narrow_terminal_cuts_no_id(fake: FakeAdmin, env: dict[str, str]) -> None:
    code, screen = on_terminal("dead-letters", "list", env={**env, "COLUMNS": "40"})
    assert code == 0
    assert [name for name in fake.letters if name not in screen] == []


def test_as_many_foreign_messages_are_listed_as_are_asked_for(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    fake.foreign *= 3
    asked = ("dead-letters", "list", "--foreign", "--json", "--limit")
    assert len(json.loads(penstock(*asked, "2", env=env).stdout)) == 2
    assert len(json.loads(penstock(*asked, "9", env=env).stdout)) == 3


def test_a_dead_letter_is_shown_with_what_was_sent(fake: FakeAdmin, env: dict[str, str]) -> None:
    request_id = next(iter(fake.letters))
    shown = penstock("dead-letters", "show", request_id, env=env)
    assert "attempts_exhausted" in shown.stdout
    assert '"model": "llama"' in shown.stdout
    assert safe(shown.stdout)
    whole = json.loads(penstock("dead-letters", "show", request_id, "--json", env=env).stdout)
    assert whole["request"]["user"] == whole["error"]["message"]
    assert penstock("dead-letters", "show", "../models", env=env).returncode == 1


def test_redrive_makes_new_requests_and_goes_on_over_a_refusal(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    first, *_, last = fake.letters
    done = penstock("dead-letters", "redrive", first, "req_none", last, env=env)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == [first, last]
    assert "req_none: No request with this id exists." in done.stderr
    assert "2 of 3 dead letters redriven." in done.stderr
    every = penstock(
        "dead-letters", "redrive", "--all", "--model", "llama", "--json", "-y", env=env
    )
    assert every.returncode == 0
    assert [json.loads(line)["redrive_of"] for line in every.stdout.splitlines()] == list(
        fake.letters
    )


def test_purge_drops_all_or_the_foreign_ones(fake: FakeAdmin, env: dict[str, str]) -> None:
    foreign = penstock("dead-letters", "list", "--foreign", env=env)
    assert "not msgpack" in foreign.stdout
    assert safe(foreign.stdout)
    assert penstock("dead-letters", "purge", "--foreign", "-y", env=env).stdout == "1 purged\n"
    assert (fake.foreign, len(fake.letters)) == ([], 5)
    done = penstock("dead-letters", "purge", "--all", "--yes", env=env)
    assert (done.returncode, len(fake.letters)) == (0, 0)
    assert "5 of 5 dead letters purged." in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead-letters", "purge"),
        ("dead-letters", "purge", "req_1", "--all"),
        ("dead-letters", "purge", "--all", "--foreign"),
        ("dead-letters", "redrive", "req_1", "--model", "m"),
        ("dead-letters", "list", "--foreign", "--model", "m"),
        ("cancel",),
        ("cancel", "req_1", "--model", "m"),
        ("cancel", "--status", "completed"),
        ("dead-letters", "list", "--limit", "0"),
        ("dead-letters",),
    ],
)
def test_a_choice_that_is_not_clear_is_a_mistake(
    env: dict[str, str], arguments: tuple[str, ...]
) -> None:
    assert penstock(*arguments, env=env).returncode == 2


def test_cancel_takes_all_that_match(fake: FakeAdmin, env: dict[str, str]) -> None:
    fake.add("llama", "queued", 5)
    fake.add("other", "queued", 2)
    fake.add("llama", "completed", 1)
    done = penstock("cancel", "--model", "llama", "--status", "queued", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5 cancelled\n", "")
    ends = [one["status"] for one in fake.requests.values()]
    assert ends == ["cancelled"] * 5 + ["queued"] * 2 + ["completed"]
    none = penstock("cancel", "--model", "llama", env=env)
    assert (none.returncode, none.stdout) == (0, "0 cancelled\n")
    rest = penstock("cancel", "--priority", "normal", "--json", env=env)
    assert json.loads(rest.stdout) == {"cancelled": 2}


def test_many_are_not_cancelled_unasked(fake: FakeAdmin, env: dict[str, str]) -> None:
    fake.page = 100
    fake.add("llama", "queued", 101)
    refused = penstock("cancel", "--model", "llama", env=env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Cancel 101 requests? There is no terminal to answer on: add --yes." in refused.stderr
    code, screen = on_terminal("cancel", "--model", "llama", typed="n\n", env=env)
    assert (code, "Cancel 101 requests? [y/N]" in screen) == (1, True)
    assert {one["status"] for one in fake.requests.values()} == {"queued"}
    done = penstock("cancel", "--model", "llama", "--yes", env=env)
    assert (done.returncode, done.stdout) == (0, "101 cancelled\n")


def test_another_tenant_s_are_cancelled_with_the_admin_key(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    fake.add("llama", "queued", 3)
    asked = ("cancel", "--tenant", "default")
    unasked = penstock(*asked, env=env)
    assert (unasked.returncode, unasked.stdout) == (2, "")
    user = penstock(*asked, "--yes", "--url", fake.url, "--api-key", USER_KEY)
    assert (user.returncode, user.stdout) == (1, "")
    assert "set PENSTOCK_ADMIN_KEY" in user.stderr
    done = penstock(*asked, "--yes", env={**env, "PENSTOCK_API_KEY": USER_KEY})
    assert (done.returncode, done.stdout) == (0, "3 cancelled\n")


@pytest.mark.parametrize(
    "arguments", [("purge", "--all"), ("redrive", "--all"), ("purge", "--foreign")]
)
def test_without_a_terminal_dead_letters_are_not_touched_in_bulk_unasked(
    fake: FakeAdmin, env: dict[str, str], arguments: tuple[str, ...]
) -> None:
    refused = penstock("dead-letters", *arguments, env=env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no terminal to answer on: add --yes." in refused.stderr
    assert (len(fake.letters), len(fake.foreign), len(fake.requests)) == (5, 1, 0)
    assert not any(letter["redriven_as"] for letter in fake.letters.values())


def test_a_terminal_is_asked_first(fake: FakeAdmin, env: dict[str, str]) -> None:
    code, screen = on_terminal("dead-letters", "purge", "--all", typed="n\n", env=env)
    assert (code, len(fake.letters)) == (1, 5)
    assert "Purge 5 dead letters? [y/N]" in screen
    code, _ = on_terminal("dead-letters", "purge", "--all", typed="y\n", env=env)
    assert (code, len(fake.letters)) == (0, 0)
    fake.add("llama", "queued", 3)
    code, screen = on_terminal("cancel", "--model", "llama", "--yes", env=env)
    assert (code, "[y/N]" in screen) == (0, False)


def test_what_answers_and_is_no_penstock_is_unreachable(fake: FakeAdmin) -> None:
    away = penstock("status", "--url", f"{fake.url}/elsewhere", "--api-key", ADMIN_KEY)
    assert away.returncode == 3
    assert "no Penstock" in away.stderr


@pytest.mark.parametrize("arguments", [("status",), ("cancel", "req_1"), ("models", "list")])
def test_ctrl_c_ends_a_command_that_waits_for_an_answer(arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started(*arguments, "--url", url) as child:
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(65_536)
                child.send_signal(signal.SIGINT)
                out, told = child.communicate(timeout=30)
    assert (child.returncode, out, told) == (130, "", "")
