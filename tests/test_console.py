"""Bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from shared.console import PLAIN_SECONDS, Waiting, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_asks_for_no_line() -> None:
    stream = Terminal()
    waiting = Waiting(4, "row", "a.tif", done=1, stream=stream)
    waiting.advance(3, "last")
    assert not waiting.is_due(anyway=True)
    waiting.close()
    waiting.close()
    for part in ("a.tif", "4/4", "100%", "last", "row"):
        assert part in stream.getvalue()


def test_a_line_is_due_after_a_while_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    waiting = Waiting(100, "image", stream=stream)
    due = []
    for second in range(25):
        monkeypatch.setattr(time, "monotonic", lambda second=second: now + second)
        waiting.advance(detail="a.png")
        if waiting.is_due(anyway=second == 3):
            due.append(second)
    assert due == [3, 3 + PLAIN_SECONDS + 1]
    assert waiting.seconds == pytest.approx(24)
    assert stream.getvalue() == "", "what is not asked for is not said"
    say("enhanced", stream)
    assert stream.getvalue() == "enhanced\n"
