"""Boxes and arrows as SVG that can be read on light and on dark paper."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_STYLE = """
    text { font: 14px sans-serif; fill: #1f2933; text-anchor: middle }
    .small { font-size: 12px; fill: #52606d }
    .left { text-anchor: start }
    rect { fill: #f5f7fa; stroke: #52606d; stroke-width: 1.5 }
    .strong { fill: #d9e8f6; stroke: #27567f }
    path { fill: none; stroke: #52606d; stroke-width: 1.5 }
    #tip path { fill: #52606d; stroke: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e7eb }
      .small { fill: #b0bac5 }
      rect { fill: #2a333d; stroke: #9aa5b1 }
      .strong { fill: #1f3f5c; stroke: #8ab8e0 }
      path { stroke: #9aa5b1 }
      #tip path { fill: #9aa5b1 }
    }"""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a name and a smaller line below it, around the point (x, y)."""

    x: int
    y: int
    name: str
    said: str = ""
    width: int = 150
    height: int = 50
    strong: bool = False

    def svg(self) -> str:
        """Return its elements."""
        left, top = self.x - self.width // 2, self.y - self.height // 2
        kind = ' class="strong"' if self.strong else ""
        rect = (
            f'<rect{kind} x="{left}" y="{top}" width="{self.width}" height="{self.height}" rx="6"/>'
        )
        if not self.said:
            return rect + label(self.x, self.y + 5, self.name)
        return (
            rect
            + label(self.x, self.y - 3, self.name)
            + label(self.x, self.y + 15, self.said, "small")
        )


def label(x: int, y: int, text: str, kind: str = "") -> str:
    """Return a line of text around x, its foot at y."""
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x}" y="{y}">{escape(text)}</text>'


def arrow(path: str) -> str:
    """Return a line with a tip; `path` is SVG's path language."""
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def drawing(width: int, height: int, title: str, elements: list[str]) -> str:
    """Return the whole picture."""
    body = "\n  ".join(elements)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
  <title>{escape(title)}</title>
  <style>{_STYLE}
  </style>
  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>
  {body}
</svg>
"""  # noqa: E501  because these are single elements
