"""The documentation is built as a site whose inner links and anchors lead somewhere."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[2]
_ELSEWHERE = ("http://", "https://", "mailto:", "data:")


class _Page(HTMLParser):
    """What a page points to, and the anchors in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    pages = {
        path.resolve(): _Page(path) for path in site.rglob("*.html") if path.name != "404.html"
    }
    assert len(pages) > 15
    broken = []
    for path, page in pages.items():
        for link in page.links:
            address, anchor = urldefrag(link)
            if address.startswith(_ELSEWHERE):
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            there = target.exists()
            known = not anchor or target not in pages or anchor in pages[target].anchors
            # The theme's own links to the top and to dialogues.
            if not (there and (known or link.startswith("#"))):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_nothing_in_the_site_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = [
        line.strip()
        for path in site.rglob("*.html")
        for line in path.read_text("utf-8").splitlines()
        if ("<script" in line or "<link" in line or "<img" in line) and "://" in line
    ]
    assert fetched == []
