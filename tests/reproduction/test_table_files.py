"""Tables show what was measured beside the paper's numbers, and what was not measured as such."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.reproduction import table_files
from shared.reproduction.description import Cell, Table
from shared.reproduction.layout import PHANTOM
from shared.reproduction.printed import PrintedNumber, PrintedRow, PrintedTable
from shared.reproduction.results import CellResult
from shared.reproduction.statistics import compare

from .run_folders import a_run, result
from .small_table import METRICS, measured, table


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def row_of(text: str, heading: str, row: str, level: str = "##") -> list[str]:
    part = text.split(f"\n{level} {heading}\n")[1].split("\n#")[0]
    line = next(line for line in part.split("\n") if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_markdown_shows_ours_beside_the_papers(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small)
    text = table_files.markdown(small, results)
    found = results[small.cells[2]]
    assert found is not None
    cells = row_of(text, "σ = 0.1", "Sup. GradProm")
    mean, std = np.mean(found.values["psnr"]), np.std(found.values["psnr"], ddof=1)
    assert cells[1:5] == [f"{mean:.2f} ± {std:.2f}", "34.646 ± 1.11", cells[3], "0.942 ± 0.007"]
    accuracy = found.values["accuracy"]
    assert cells[5:7] == [f"{np.mean(accuracy):.3f} ± {np.std(accuracy, ddof=1):.3f}", "0.874"]
    assert cells[-1] == "3"
    # Balanced accuracy stands beside accuracy, though the paper has none.
    header = text.split("## σ = 0.1\n\n")[1].split("\n")[0]
    assert header == "|  | PSNR [dB] | paper | SSIM | paper | accuracy | paper | balanced accuracy | repeats |"
    assert row_of(text, "σ = 0.1", "Benchmark-i")[6] == "–"
    printed = ["", "32.152 ± 1.78", "", "0.906 ± 0.007", "", "0.859", "", "from the paper, not run here"]
    assert row_of(text, "σ = 0.1", "Unsup. frozen")[1:] == printed
    assert row_of(text, "σ = 0.1", "Sup. <joint> \\| x")[1:] == ["not run", "–"] * 3 + ["not run", "0"]
    assert "- A note & more." in text
    assert "Always naming the most frequent class" in text
    assert "27.735 dB in tables 1 and 2 and 19.478 dB in table 5" in text
    assert PHANTOM not in text


def test_figures_over_the_images_follow_their_metric_and_are_not_compared(tmp_path: Path) -> None:
    rival = Cell("plain", "σ = 0.1", a_run("none"), metrics=("ssim_range", "psnr_variance", "psnr"))
    cell = replace(rival, row="gate", run=a_run(), compare_with=("plain",))
    results = {one: result(tmp_path, one, gain=gain) for one, gain in ((rival, 3.0), (cell, 4.0))}
    text = table_files.markdown(Table("table9", "Stability", (rival, cell)), results)
    header = text.split("## σ = 0.1\n\n")[1].split("\n")[0]
    assert header == "|  | PSNR [dB] | PSNR variance [dB²] | SSIM range | repeats |"
    found = results[cell].values
    expected = [f"{np.mean(found[name]):.{digits}f} ± {np.std(found[name], ddof=1):.{digits}f}"
                for name, digits in (("psnr", 2), ("psnr_variance", 2), ("ssim_range", 4))]
    assert row_of(text, "σ = 0.1", "gate")[1:4] == expected
    assert "### PSNR [dB]" in text
    assert "### PSNR variance" not in text


def test_what_the_paper_alone_has_stands_without_a_column_of_ours(tmp_path: Path) -> None:
    """An opinion of people beside what is measured, and a table of which nothing is run."""
    printed = {"psnr": PrintedNumber(30.1, None, "30.10"), "MOS": PrintedNumber(4.0, None, "4.0")}
    rows = tuple(PrintedRow(name, None, None, None, {"σ = 0.1": printed}) for name in ("Benchmark-i", "Theirs"))
    small = table(printed=PrintedTable(rows))
    text = table_files.markdown(small, measured(tmp_path, small))
    header = "|  | PSNR [dB] | paper | SSIM | accuracy | balanced accuracy | MOS, paper alone | repeats |"
    assert text.split("## σ = 0.1\n\n")[1].split("\n")[0] == header
    assert row_of(text, "σ = 0.1", "Benchmark-i")[-2:] == ["4.0", "3"]
    assert row_of(text, "σ = 0.1", "Theirs")[-2:] == ["4.0", "from the paper, not run here"]
    alone = replace(small, cells=())
    text = table_files.markdown(alone, {})
    assert row_of(text, "σ = 0.1", "")[1:] == ["PSNR [dB], paper alone", "MOS, paper alone", "repeats"]
    assert row_of(text, "σ = 0.1", "Theirs")[1:] == ["30.10", "4.0", "from the paper, not run here"]
    found = {(line["row"], line["metric"]): (line["paper_mean"], line["n"])
             for line in lines_of(table_files.csv(alone, {}))}
    numbers = {"psnr": ("30.1", "0"), "MOS": ("4", "0")}
    assert found == {(row, metric): value for row in ("Benchmark-i", "Theirs") for metric, value in numbers.items()}


def test_markdown_compares_with_the_named_rows(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small)
    text = table_files.markdown(small, results)
    treatment, control = results[small.cells[2]], results[small.cells[1]]
    assert isinstance(treatment, CellResult)
    assert isinstance(control, CellResult)
    found = compare(treatment, control, "psnr")
    part = text.split("\n### PSNR [dB]\n")[1].split("\n#")[0]
    line = next(line for line in part.split("\n") if "| Sup. GradProm | σ = 0.1 | Sup. frozen |" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert found.interval is not None
    low, high = found.interval
    assert cells[3:5] == [f"{found.difference:+.3f}", f"{low:+.3f} to {high:+.3f}"]
    assert cells[5] == "0.008"  # 8 of 8 patients better: 2 / 2^8
    # Six comparisons of PSNR were made, four more were not run: the four not run do not count.
    assert cells[6] == "0.047"
    assert cells[7:11] == ["+1.00", "8 / 0", "8", "24"]
    assert len(cells[11].split(",")) == 3
    assert "| Sup. <joint> \\| x | σ = 0.3 | Benchmark-i | not run |" in part


def test_without_significance_there_are_effect_sizes_alone(tmp_path: Path) -> None:
    small = table(significance=False, printed=None, name="mni152")
    results = measured(tmp_path, small)
    text = table_files.markdown(small, results)
    assert "Holm" not in text
    assert "95 %" not in text
    assert "paper" not in text
    assert "rank-biserial" in text
    assert "Effect sizes alone" in text
    lines = lines_of(table_files.comparisons_csv(small, results))
    assert {line["p"] + line["p_holm"] + line["low"] + line["high"] for line in lines} == {""}
    assert all(line["difference"] and line["rank_biserial"] for line in lines if not line["note"])


def test_few_groups_have_no_p_value(tmp_path: Path) -> None:
    small = table()
    text = table_files.markdown(small, measured(tmp_path, small, patients=5))
    part = text.split("\n### PSNR [dB]\n")[1].split("\n#")[0]
    assert part.count("| n/a, 5 groups | n/a, 5 groups |") == 6
    assert "Fewer than 6 groups: no p-value" in text


def test_a_single_repeat_has_no_standard_deviation(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small, seeds=(0,))
    cells = row_of(table_files.markdown(small, results), "σ = 0.1", "Benchmark-i")
    assert "±" not in cells[1]
    assert cells[-1] == "1"
    assert {line["std"] for line in lines_of(table_files.csv(small, results))} == {""}


def test_csv_holds_one_value_a_line(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small)
    lines = lines_of(table_files.csv(small, results))
    assert list(lines[0]) == table_files.VALUE_COLUMNS
    places = [(line["row"], line["column"], line["metric"]) for line in lines]
    assert len(set(places)) == len(places)
    by_place = dict(zip(places, lines, strict=True))
    for cell in small.cells:
        found = results[cell]
        for metric in METRICS:
            line = by_place[cell.row, cell.column, metric]
            if found is None:
                assert (line["mean"], line["std"], line["n"], line["weights"]) == ("", "", "0", "")
                continue
            assert float(line["mean"]) == pytest.approx(np.mean(found.values[metric]), rel=1e-7)
            assert float(line["std"]) == pytest.approx(np.std(found.values[metric], ddof=1), rel=1e-6)
            assert (line["n"], line["phantom"], line["table"]) == ("3", "", "table1")
            assert line["weights"] == " ".join(one[:12] for one in found.hashes)
    paper = by_place["Sup. GradProm", "σ = 0.3", "psnr"]
    assert (paper["paper_mean"], paper["paper_std"]) == ("21.353", "0.67")
    only = by_place["Unsup. joint", "σ = 0.3", "accuracy"]
    assert (only["mean"], only["n"], only["paper_mean"]) == ("", "0", "0.702")


def test_comparisons_as_csv(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small)
    lines = lines_of(table_files.comparisons_csv(small, results))
    assert list(lines[0]) == table_files.COMPARISON_COLUMNS
    assert len(lines) == 2 * (1 + 2 + 2) * 3
    treatment, control = results[small.cells[2]], results[small.cells[0]]
    assert treatment is not None
    assert control is not None
    expected = compare(treatment, control, "ssim")
    (line,) = [
        line for line in lines
        if (line["row"], line["column"], line["against"], line["metric"])
        == ("Sup. GradProm", "σ = 0.1", "Benchmark-i", "ssim")
    ]
    assert expected.interval is not None
    numbers = [expected.difference, *expected.interval, expected.p_value, expected.effect]
    names = ("difference", "low", "high", "p", "rank_biserial")
    assert [float(line[name]) for name in names] == pytest.approx(numbers, rel=1e-6)
    assert [float(value) for value in line["by_seed"].split(" ")] == pytest.approx(expected.by_seed, rel=1e-6)


def test_phantom_data_are_called_no_result_in_the_head_of_every_file(tmp_path: Path) -> None:
    small = table()
    results = measured(tmp_path, small, phantom=True)
    head = table_files.markdown(small, results, {"Device": "cpu", "Seeds": "0, 1, 2"}).split("\n")
    assert head[2] == f"> **{PHANTOM}**"
    assert head[4:6] == ["- Device: cpu", "- Seeds: 0, 1, 2"]
    for text in (table_files.csv(small, results), table_files.comparisons_csv(small, results)):
        assert {line["phantom"] for line in lines_of(text)} == {"phantom data: no result"}
        assert text.split("\n")[1].startswith("phantom data: no result,")


def test_a_table_of_which_nothing_was_run(tmp_path: Path) -> None:
    small = table()
    text = table_files.markdown(small, {})
    assert text.count("| not run |") > 8
    assert table_files.csv(small, {})


def test_metrics_differ_between_cells(tmp_path: Path) -> None:
    small = table()
    benchmark = replace(small.cells[0], metrics=("accuracy",), version="degraded")
    other = replace(small, cells=(benchmark, *small.cells[1:3]))
    results = {benchmark: result(tmp_path, benchmark, 1.0), **measured(tmp_path, replace(small, cells=other.cells[1:]))}
    text = table_files.markdown(other, results)
    assert row_of(text, "σ = 0.1", "Benchmark-i")[1] == "–"
    lines = lines_of(table_files.comparisons_csv(other, results))
    metrics = {line["metric"] for line in lines if line["against"] == "Benchmark-i"}
    assert metrics == {"accuracy"}
    stray = replace(small, cells=(replace(small.cells[0], compare_with=("nobody",)),))
    with pytest.raises(ValueError, match="expected a row of 'σ = 0.1', found 'nobody'"):
        table_files.markdown(stray, {})
