"""Every command and snippet in the READMEs and docs/ is run, or says why it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.blocks import blocks_of, pages
from tests.documents.commands import Player
from tests.documents.contents import check
from tests.documents.stage import Stage, open_stage


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    def real_urls() -> tuple[str, str]:
        return request.getfixturevalue("amqp_url"), request.getfixturevalue("redis_url")

    with open_stage(tmp_path_factory.mktemp("documents"), real_urls) as opened:
        yield opened


# What the pages call requests.jsonl before they show one.
REQUEST_LINE = '{"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}\n'
PLAYED = [
    page
    for page in pages()
    if any(block.treatment() in ("run", "checked") for block in blocks_of(page))
]


@pytest.mark.parametrize("page", PLAYED)
def test_what_a_page_shows_works(page: str, stage: Stage, tmp_path: Path) -> None:
    player = Player(stage, tmp_path)
    (tmp_path / "requests.jsonl").write_text(REQUEST_LINE)
    played = 0
    for block in blocks_of(page):
        treatment = block.treatment()
        if treatment == "run":
            player.run(block)
        elif "file" in block.notes and treatment.startswith("not run"):
            (tmp_path / block.notes["file"]).write_text(block.text)
        elif treatment == "checked":
            check(block, stage.real(block), stage.server(block), tmp_path)
        played += treatment in ("run", "checked")
    assert played > 0


def test_every_block_is_run_or_checked_or_says_why_not() -> None:
    blocks = [block for page in pages() for block in blocks_of(page)]
    count = Counter(block.treatment() for block in blocks)
    for treatment, number in count.most_common():
        print(f"{number:4} {treatment}")
    wrong = [block.place for block in blocks if block.treatment().startswith("wrong")]
    assert not wrong
    assert not any("NO REASON" in treatment for treatment in count)
    assert count["run"] + count["checked"] > 50
