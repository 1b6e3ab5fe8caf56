"""The paper's numbers are all there, fit together as their definitions say, and contradict each other as noted."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from torch import nn

from shared.networks import RDN, RIRGenerator, SRResNet
from shared.reproduction.papers import rirgan
from shared.reproduction.papers.rirgan.tables import NUMBERS, QUALITY, tables

FILE = Path(rirgan.__file__).with_name("numbers.json")
CONTENT = json.loads(FILE.read_text(encoding="utf-8"), parse_float=Decimal)["tables"]
SIZES = {
    "table1": (8, ["generator"]), "table2": (5, ["PSNR", "SSIM"]), "table3": (7, ["PSNR", "SSIM"]), "table4": (0, []),
    "table5": (6, ["200k updates", "350k updates"]), "table6": (9, ["×4"]), "table7": (2, ["LR + noise"]),
    "table8": (5, ["LR"]),
}


def number(table: str, row: str, column: str, metric: str) -> float:
    found = NUMBERS[table].number(row, column, metric)
    assert found is not None, (table, row, column, metric)
    return found.mean


@pytest.mark.parametrize("table", SIZES)
def test_every_row_and_column_is_there(table: str) -> None:
    rows, columns = SIZES[table]
    assert (len(NUMBERS[table].rows), NUMBERS[table].columns) == (rows, columns)
    assert len({row.row for row in NUMBERS[table].rows}) == rows


@pytest.mark.parametrize("table", ["table2", "table3"])
@pytest.mark.parametrize("column", QUALITY)
def test_figures_over_images_fit_together(table: str, column: str) -> None:
    """Equations 18 to 21: the standard deviation is the root of the variance, the range is from minimum to maximum.

    Computed as a reader would, from the digits that are printed; a slip in any of six numbers of a row breaks it.
    """
    for row in CONTENT[table]["rows"]:
        mean, variance, std, low, high, spread = (row["values"][column][metric][0] for metric in QUALITY[column])
        assert high - low == spread, row["row"]
        half = Decimal(5).scaleb(std.as_tuple().exponent - 1)
        of_variance = Decimal(5).scaleb(variance.as_tuple().exponent - 1)
        assert (std - half) ** 2 <= variance + of_variance, row["row"]
        assert (std + half) ** 2 >= variance - of_variance, row["row"]
        assert low < mean < high, row["row"]
        # A distribution on an interval cannot vary more (Bhatia and Davis), whatever its shape.
        assert variance <= (high - mean) * (mean - low), row["row"]


# One number from each corner of each table, as a reader finds it in the paper.
@pytest.mark.parametrize(
    ("place", "text"),
    [
        (("table1", "MDSR", "generator", "parameters [M]"), "6.7"),
        (("table1", "EDSR", "generator", "parameters [M]"), "43"),
        (("table2", "SRResNet", "PSNR", "psnr_variance"), "10.30"),
        (("table2", "RIRGAN", "SSIM", "ssim_range"), "0.1175"),
        (("table3", "none (SRGAN, 8 blocks)", "SSIM", "ssim_minimum"), "0.5367"),
        (("table3", "RIR-G + hybrid", "PSNR", "psnr"), "23.50"),
        (("table3", "all", "PSNR", "psnr_std"), "1.858"),
        (("table5", "salt", "200k updates", "psnr"), "24.70"),
        (("table5", "pepper", "350k updates", "ssim"), "0.8956"),
        (("table6", "Bicubic (LR)", "×4", "ssim"), "0.8950"),
        (("table6", "DnCNN (LR + noise)", "×4", "MOS among denoisers"), "2.154"),
        (("table7", "N = 10", "LR + noise", "psnr"), "22.89"),
        (("table8", "N = 32", "LR", "ssim"), "0.7898"),
    ],
)
def test_numbers_stand_where_the_paper_has_them_with_its_digits(place: tuple[str, str, str, str], text: str) -> None:
    found = NUMBERS[place[0]].number(*place[1:])
    assert found is not None
    assert (found.text, found.mean) == (text, float(text))


def test_numbers_of_the_notes_are_those_of_the_tables() -> None:
    notes = {note.id: note for table in NUMBERS.values() for note in table.contradictions}
    assert len(notes) == 12
    for note in notes.values():
        assert {quoted["table"] for quoted in note.numbers} <= set(note.tables)
        for quoted in note.numbers:
            value = number(quoted["table"], quoted["row"], quoted["column"], quoted["metric"])
            assert value == quoted["value"], note.id


def test_contradictions_are_in_the_numbers() -> None:
    noisy, clean = number("table2", "Bicubic", "PSNR", "psnr"), number("table6", "Bicubic (LR)", "×4", "psnr")
    assert noisy > clean
    ours = [
        number(*place, "psnr") for place in (
            ("table2", "RIRGAN", "PSNR"), ("table7", "N = 8", "LR + noise"), ("table3", "all", "PSNR"),
            ("table5", "Gaussian", "200k updates"), ("table6", "RIRGAN (LR + noise)", "×4"),
        )
    ]
    assert ours == [28.26, 28.26, 28.17, 28.23, 28.05]
    for column, metrics in QUALITY.items():
        pairs = {metric: [number("table2", "RIRGAN", column, metric), number("table3", "all", column, metric)]
                 for metric in metrics}
        equal = {metric for metric, (one, other) in pairs.items() if one == other}
        assert equal == {f"{column.lower()}_{figure}" for figure in ("minimum", "maximum", "range")}
    assert ours[0] - number("table2", "RDN", "PSNR", "psnr") == pytest.approx(0.02)
    for row in NUMBERS["table8"].rows:
        assert row.values["LR"]["psnr"].mean < clean
    assert ours[1] - number("table8", "N = 8", "LR", "psnr") == pytest.approx(3.82)
    quality = {metric: {row.row: row.values["×4"][metric].mean for row in NUMBERS["table6"].rows}
               for metric in ("psnr", "ssim")}
    better = {metric: {row for row, value in values.items() if value > values["RIRGAN (LR + noise)"]}
              for metric, values in quality.items()}
    assert better["psnr"] == {"RDN (LR)"}
    assert better["ssim"] == {"RDN (LR)", "SRGAN (LR)", "Bicubic (LR)", "DnCNN (LR + noise)"}


def test_means_of_whole_ratings_are_fractions_of_their_number() -> None:
    """What the note about the ratings says: 300 fit the first group of methods, 280 the second."""
    def fits(texts: list[str], ratings: int) -> int:
        return sum(any(f"{total / ratings:.3f}" == text for total in range(ratings, 5 * ratings + 1)) for text in texts)

    among = {name: [n.text for row in NUMBERS["table6"].rows if (n := row.values["×4"].get(f"MOS among {name}"))]
             for name in ("SR methods", "denoisers")}
    assert [len(texts) for texts in among.values()] == [5, 5]
    assert fits(among["SR methods"], 300) == 5
    assert (fits(among["denoisers"], 300), fits(among["denoisers"], 280)) == (1, 5)


def test_parameters_that_notes_name_are_those_of_the_networks() -> None:
    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    named = {table.name: {int(text.replace(",", "")) for text in re.findall(r"\d+(?:,\d{3})+", " ".join(table.notes))}
             for table in tables()}
    srgan = [count(SRResNet(3, 3, blocks, upscale_factor=4)) for blocks in (16, 8)]
    rdn = [count(RDN(num_blocks=blocks)) for blocks in (8, 16)]
    assert named["table1"] == {count(RIRGenerator()), *srgan, rdn[0]}
    assert named["table7"] == {count(RIRGenerator(num_blocks=blocks)) for blocks in (8, 10)}
    assert named["table8"] == {count(RIRGenerator(num_blocks=blocks)) for blocks in (2, 4, 8, 16, 32)}
    notes = {note.id: note.text for note in NUMBERS["table1"].contradictions}
    for note, found in (("size_of_srgan", srgan[0]), ("size_of_rdn", rdn[0]), ("size_of_rdn", rdn[1])):
        assert f"{found / 1e6:.1f} million" in notes[note]
