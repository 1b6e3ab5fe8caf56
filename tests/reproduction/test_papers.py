"""Papers are found by name: one that is added as a package is listed, run and written like the first."""

import json
import re
import shutil
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from scripts import reproduce
from shared.errors import InputError
from shared.reproduction import papers
from shared.reproduction.papers import gradprom, select

MODULES = Path(papers.__file__).resolve().parents[1].glob("*.py")
TINY = '''
from pathlib import Path

from shared.reproduction.description import Cell, Figure, Paper, Run, Stage, Table
from shared.reproduction.printed import read_printed
from shared.reproduction.profiles import Profile

PIXELS = Stage("pixels", "warming", "@train#trainer", ignores=frozenset(["sigma"]))
NUMBERS = read_printed(Path(__file__).with_name("numbers.json"))
runs = {sigma: Run("gradprom_camus", {"sigma": sigma}, shares=(PIXELS,)) for sigma in (0.1, 0.2)}
cells = tuple(Cell("Tiny", f"σ = {sigma}", run) for sigma, run in runs.items())
PAPER = Paper(
    "tiny",
    "A tiny paper",
    (Table("table1", "Tiny numbers", cells, NUMBERS["table1"]), Table("own", "Tiny numbers of our own", cells)),
    {"figure1": Figure("A tiny figure", {"Tiny": runs[0.1]}, lambda folders: b"PNG of " + ",".join(folders).encode())},
    {"cpu": Profile("cpu", "tiny on a CPU", of_bundle={"gradprom_camus": {"max_epochs": 1}})},
)
'''
NUMBERS = {
    "tables": {"table1": {"rows": [
        {"row": "Tiny", "setting": None, "strategy": None, "backbone": None,
         "values": {"σ = 0.1": {"psnr": [31.4159, 0.5]}}},
        {"row": "Huge", "setting": None, "strategy": None, "backbone": None, "run_here": False,
         "values": {"σ = 0.1": {"psnr": [27.1828, None]}}},
    ]}},
    "notes": [{"id": "slip", "tables": ["table1"], "text": "The text says 30.", "numbers": []}],
}


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> None:
    """A second paper, as a package among the others."""
    package = tmp_path / "papers" / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TINY, encoding="utf-8")
    (package / "numbers.json").write_text(json.dumps(NUMBERS), encoding="utf-8")
    monkeypatch.setattr(papers, "__path__", [*papers.__path__, str(package.parent)])
    yield
    sys.modules.pop("shared.reproduction.papers.tiny", None)
    if hasattr(papers, "tiny"):
        del papers.tiny


def test_a_second_paper_is_listed(tiny, capsys):
    assert papers.names() == ["gradprom", "rirgan", "tiny"]
    assert reproduce.main(["--list"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert listed["tiny-table1"].endswith("Tiny numbers")
    assert {"tiny-own", "tiny-figure1", "gradprom-table1", "gradprom-figure4"} <= listed.keys()
    with pytest.raises(SystemExit):
        reproduce.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "tiny A tiny paper" in told
    assert "gradprom- may be left out" in told


def test_a_second_paper_is_run_and_written_beside_the_first(tiny, bundles, tmp_path):
    out = tmp_path / "out"
    words = ["tiny-table1", "tiny-figure1", "table6", "--profile", "smoke", "--out", str(out)]
    assert reproduce.main(words) == 0
    written = {path.name for path in out.iterdir() if path.is_file()}
    names = ("tiny-table1.md", "tiny-table1.csv", "tiny-table1-comparisons.csv", "tiny-figure1.png", "table6.md")
    assert set(names) <= written
    text = (out / "tiny-table1.md").read_text()
    for words_of_the_paper in ("31.4159 ± 0.5", "27.1828", "from the paper, not run here", "The text says 30."):
        assert words_of_the_paper in text
        assert words_of_the_paper in (out / "report.html").read_text()
    assert (out / "tiny-figure1.png").read_bytes() == b"PNG of Tiny"
    # Its two runs share the stage that it names.
    assert [run_id for run_id, _ in bundles.calls].count("warming") == 1
    assert len(list(out.glob("runs/gradprom_camus-pixels-*"))) == 1


def test_the_page_keeps_what_commands_for_another_paper_left(tiny, bundles, tmp_path):
    """Tables and figures with their pictures, also when their runs are gone; what is made again is made anew."""
    page, common = tmp_path / "out" / "report.html", ["--profile", "smoke", "--out", str(tmp_path / "out")]
    picture = b64encode(b"PNG of Tiny").decode()

    def titles() -> list[str]:
        return re.findall("<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))

    assert reproduce.main(["tiny-table1", "tiny-figure1", *common]) == 0
    assert titles() == ["Tiny numbers", "A tiny figure"]
    assert "By an earlier command" not in page.read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "out" / "runs")
    assert reproduce.main(["gradprom-table8", *common]) == 0
    assert titles() == ["Denoising on CAMUS, beside other methods", "A tiny figure", "Tiny numbers"]
    text = page.read_text(encoding="utf-8")
    assert text.count("By an earlier command") == 2
    assert picture in text
    assert "31.4159 ± 0.5" in text
    assert re.findall('href="#(.*?)"', text) == re.findall('section id="(.*?)"', text) == ["part-1", "part-2", "part-3"]
    assert (tmp_path / "out" / "tiny-table1.md").is_file()
    assert reproduce.main(["tiny-table1", *common]) == 0
    assert titles() == ["Tiny numbers", "Denoising on CAMUS, beside other methods", "A tiny figure"]
    assert page.read_text(encoding="utf-8").count("By an earlier command") == 2


def test_a_damaged_section_costs_no_page(tiny, bundles, tmp_path, capsys):
    common = ["--profile", "smoke", "--out", str(tmp_path)]
    assert reproduce.main(["tiny-figure1", *common]) == 0
    for content, message in (("{", "found no JSON"), ('{"title": "A"}', "as this version writes it; delete it")):
        (tmp_path / "sections" / "tiny-figure1.json").write_text(content)
        assert reproduce.main(["tiny-table1", *common]) == 1
        told = capsys.readouterr()
        assert "failed: tiny-figure1: not written: " in told.err
        assert message in told.err
        assert "Tiny numbers" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_names_of_a_paper(tiny):
    table, figure = papers.paper("tiny").tables[0], papers.paper("tiny").figures["figure1"]
    assert select(["tiny-all"]) == ({"tiny-table1": table}, {"tiny-figure1": figure})
    assert list(select(["all"])[0]) == list(select(["gradprom-all"])[0]) == [f"table{n}" for n in range(1, 9)]
    assert select(["table1", "gradprom-table1"]) == select(["table1"])
    assert list(select(["tiny-own", "gradprom-mni152"])[0]) == ["tiny-own", "mni152"]
    with pytest.raises(InputError, match="name 'tiny-table2' is unknown; the nearest is 'tiny-table1'"):
        select(["tiny-table2"])
    with pytest.raises(InputError, match="name 'own' is unknown"):
        select(["own"])


def test_profiles_of_papers_are_those_for_all_their_bundles(tiny):
    assert papers.profiles()["cpu"].sizes("gradprom_camus") == {"max_epochs": 1}
    own = gradprom.PAPER.profiles["cpu"].sizes("gradprom_mni152")
    assert papers.profiles()["cpu"].sizes("gradprom_mni152") == own
    with pytest.raises(InputError, match="found 'cpu', which has sizes for gradprom_mni152, .*, gradprom_camus only"):
        papers.profiles()["cpu"].sizes("gradprom_isic")


def test_a_paper_is_called_as_its_package(tiny, tmp_path):
    path = tmp_path / "papers" / "tiny" / "__init__.py"
    path.write_text(TINY.replace('"tiny",', '"tinny",'))
    with pytest.raises(ValueError, match=r"PAPER of .*\.tiny: expected the name of its package, found 'tinny'"):
        papers.paper("tiny")


def test_paper_of_the_readme_is_run_and_written(tiny, bundles, tmp_path):
    """The second paper's files are those of the section "Add a paper" of shared/README.md."""
    text = (Path(papers.__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- tested: tests/reproduction/test_papers.py -->\n```\w+\n(.*?)```", text, re.DOTALL)
    for name, block in zip(("__init__.py", "numbers.json"), blocks, strict=True):
        (tmp_path / "papers" / "tiny" / name).write_text(block, encoding="utf-8")
    out = tmp_path / "out"
    assert reproduce.main(["tiny-table1", "--profile", "smoke", "--out", str(out)]) == 0
    written = (out / "tiny-table1.md").read_text(encoding="utf-8")
    assert "30.1 ± 0.2" in written
    assert "| joint | σ = 0.1 | plain |" in written, "their comparison"
    assert len(bundles.calls) == 2


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_room_knows_no_paper(path):
    text = path.read_text(encoding="utf-8")
    assert "reproduction.papers." not in text
    assert "reproduction.papers import" not in text
