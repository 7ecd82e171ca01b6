"""Memory over time, as two lines of blocks for the terminal and as paths for the page."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
Points = Sequence[Sequence[float]]  # [milliseconds, bytes]


def columns(points: Points, width: int) -> list[float]:
    """The highest value in each of ``width`` equal stretches of time."""
    if not points:
        return [0.0] * width
    end = max(point[0] for point in points) or 1.0
    found = [0.0] * width
    seen = [False] * width
    for at, value in points:
        column = min(int(at / end * width), width - 1)
        found[column] = max(found[column], value) if seen[column] else value
        seen[column] = True
    for column in range(1, width):  # where nothing happened, nothing changed
        if not seen[column]:
            found[column] = found[column - 1]
    return found


def blocks(points: Points, highest: float, width: int) -> str:
    """One line of block characters, on a scale that ends at ``highest``."""
    if highest <= 0:
        return BLOCKS[0] * width
    heights = [round(value / highest * 8) for value in columns(points, width)]
    # Whatever is there shows.
    return "".join(BLOCKS[min(8, max(h, int(v > 0)))] for h, v in zip(heights, columns(points, width), strict=True))


def path(points: Points, end: float, highest: float, width: float, height: float) -> str:
    """An SVG path of steps: memory stays what it is until it changes."""
    parts = [f"M0 {height:.1f}"]
    last = height
    for at, value in points:
        x = at / end * width if end else 0.0
        y = height - (max(value, 0) / highest * height if highest else 0.0)
        parts.append(f"H{x:.1f}")
        if y != last:
            parts.append(f"V{y:.1f}")
            last = y
    return "".join(parts)
