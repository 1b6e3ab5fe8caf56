"""The report is one well-formed page that needs no other file."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shared.errors import InputError
from shared.reproduction import html
from shared.reproduction.html import Picture, Section
from shared.reproduction.layout import PHANTOM

from .small_table import measured, table

INFO = {"What was run": "table1 <smoke>", "Device": "cpu", "Seeds": "0, 1, 2"}
VOID = {"meta", "img", "line", "circle", "br"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects text, tables and what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.classes: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [str(values[name]) for name in ("src", "data") if name in values]
        self.ids += [str(values["id"])] if "id" in values else []
        self.classes += str(values.get("class", "")).split()
        (self.links if tag == "a" else self.loaded).extend([str(values["href"])] if "href" in values else [])
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_page_is_whole_and_shows_everything(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small, panel=True)
    pictures = html.panels(small, results)
    assert [picture.title for picture in pictures] == [
        f"{row}, σ = 0.3, seed 0" for row in ("Benchmark-i", "Sup. frozen", "Sup. GradProm")]
    sections = [
        Section("Table <1>", small, results, pictures, text=("Read & see.",)),
        Section("Figure", pictures=[Picture("a figure", pictures[0].path)]),
    ]
    page = Page(html.page("A report", sections, INFO))
    assert page.ids == ["part-1", "part-2"]
    assert page.links == ["#part-1", "#part-2"]
    for text in ("A report", "table1 <smoke>", "Table <1>", "Read & see.", "A note & more.", "6 of 8 cells were run."):
        assert text in page.text
    found = results[small.cells[0]]
    assert found is not None
    assert len(page.loaded) == 4
    prefix, content = page.loaded[0].split(",")
    assert prefix == "data:image/png;base64"
    assert base64.b64decode(content) == pictures[0].path.read_bytes()
    rows = {tuple(row[:3]): row for row in page.rows}
    assert ("Sup. <joint> | x", "not run", "–") in rows
    line = rows["Sup. GradProm", "σ = 0.1", "Benchmark-i"]
    assert len(line) == 13
    # Two metrics with a clear effect, two columns, three comparisons each; no accuracy differs.
    assert page.classes.count("better") == 12
    assert page.classes.count("worse") == 0
    assert "phantom" not in page.text.lower()
    assert "bar = 95 % interval" in page.text
    plain = table(significance=False)
    page = Page(html.page("A report", [Section("Effects", plain, measured(tmp_path / "plain", plain))], INFO))
    assert "dot = mean difference, ticks = single seeds." in page.text
    assert "95 %" not in page.text
    assert page.classes.count("better") == 0


def test_phantom_data_are_called_no_result_in_the_head_and_at_each_section(tmp_path: Path) -> None:
    small = table()
    real, phantom = measured(tmp_path / "real", small), measured(tmp_path / "phantom", small, phantom=True)
    text = html.page("A report", [Section("Real", small, real), Section("Phantom", small, phantom)], INFO)
    page = Page(text)
    assert text.index(PHANTOM) < text.index("<main>")
    assert "(phantom data, no result)" in text[: text.index("</head>")]
    assert page.text.count("Phantom data: no result.") == 1
    assert text.index("Phantom data: no result.") > text.index('id="part-2"')
    figure = html.page("A report", [Section("Figure", phantom=True)], INFO)
    assert PHANTOM in Page(figure).text


def test_drawing_places_the_interval_on_the_common_scale(tmp_path: Path) -> None:
    small = table()
    (one, *_) = html.comparisons(small, measured(tmp_path, small))
    assert one.interval is not None
    drawing = html.whisker(one, scale=2.0)
    assert Page(str(drawing)).text == ""
    numbers = {name: float(x) for name, x in re.findall(r'(x1|x2|cx)="([\d.]+)"', drawing.split("interval")[1])}
    half = html.WIDTH / 2 - 6
    expected = [html.WIDTH / 2 + half * value / 2 for value in (*one.interval, one.difference)]
    assert [numbers["x1"], numbers["x2"], numbers["cx"]] == pytest.approx(expected, abs=0.06)
    assert drawing.count('class="seed"') == 3


def test_pictures_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"picture .*none\.png cannot be read: No such file"):
        html.page("A report", [Section("Figure", pictures=[Picture("none", tmp_path / "none.png")])], INFO)
    with pytest.raises(InputError, match=r"found a picture of type '\.tif', expected \.png"):
        html.page("A report", [Section("Figure", pictures=[Picture("none", tmp_path / "a.tif")])], INFO)


def test_a_page_of_which_nothing_was_run() -> None:
    page = Page(html.page("A report", [Section("Table", table())], INFO))
    assert "0 of 8 cells were run." in page.text
    assert page.links == []
