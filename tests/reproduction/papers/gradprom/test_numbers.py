"""The paper's numbers are all there, and the contradictions in them are what the notes say."""

from __future__ import annotations

import pytest

from shared.reproduction.papers.gradprom.tables import NUMBERS
from shared.reproduction.printed import PrintedNumber

NOISE = ["σ = 0.05", "σ = 0.1", "σ = 0.2", "σ = 0.3"]
COLUMNS = {
    "table1": NOISE,
    "table2": NOISE,
    "table3": ["Unsup.", "Sup."],
    "table4": ["Unsup.", "Sup."],
    "table5": NOISE[1:],
    "table6": NOISE[1:],
    "table7": ["γ = 2", "γ = 4"],
    "table8": NOISE[1:],
}
# Rows with PSNR and SSIM, of these rows with a recognition metric, and benchmarks with a recognition metric alone.
SIZES = {
    "table1": (7, 6, 1), "table2": (9, 8, 1), "table3": (4, 3, 1), "table4": (4, 0, 0),
    "table5": (11, 0, 0), "table6": (8, 0, 0), "table7": (10, 0, 0), "table8": (8, 0, 0),
}


@pytest.mark.parametrize("table", COLUMNS)
def test_every_number_is_there_once_and_plausible(table: str) -> None:
    assert NUMBERS[table].columns == COLUMNS[table]
    rows = NUMBERS[table].rows
    assert len({row.row for row in rows}) == len(rows)
    quality, recognised, alone = SIZES[table]
    assert len(rows) == quality + alone
    for column in COLUMNS[table]:
        metrics = [tuple(row.values[column]) for row in rows]
        assert sum(found[:2] == ("psnr", "ssim") for found in metrics) == quality
        assert sum(len(found) == 3 for found in metrics) == recognised
        assert sum(len(found) == 1 for found in metrics) == alone
    for row in rows:
        for numbers in row.values.values():
            for metric, number in numbers.items():
                low, high = (8, 40) if metric == "psnr" else (0.2, 1)
                assert low < number.mean < high
                assert (number.std is not None) == (table in ("table1", "table2") and metric in ("psnr", "ssim"))


# One number from each corner of each table.
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("table1", "Benchmark-ii", "σ = 0.05", "accuracy"), PrintedNumber(0.803)),
        (("table1", "Sup. GradProm", "σ = 0.3", "ssim"), PrintedNumber(0.683, 0.008)),
        (("table1", "Unsup. GradProm", "σ = 0.1", "psnr"), PrintedNumber(33.383, 1.0)),
        (("table2", "Benchmark-i", "σ = 0.05", "psnr"), PrintedNumber(31.281, 2.11)),
        (("table2", "Sup. frozen", "σ = 0.2", "mean_iou"), PrintedNumber(0.811)),
        (("table2", "Sup. multi-task", "σ = 0.3", "mean_iou"), PrintedNumber(0.737)),
        (("table3", "GradProm", "Sup.", "mean_iou"), PrintedNumber(0.597)),
        (("table4", "frozen", "Unsup.", "psnr"), PrintedNumber(8.236)),
        (("table5", "GradProm seg ResNet-101", "σ = 0.3", "ssim"), PrintedNumber(0.761)),
        (("table5", "U-SAID", "σ = 0.1", "psnr"), PrintedNumber(33.835)),
        (("table6", "DVANet", "σ = 0.3", "ssim"), PrintedNumber(0.686)),
        (("table7", "GradProm dia ResNet-101", "γ = 2", "psnr"), PrintedNumber(25.167)),
        (("table7", "ADAP", "γ = 4", "ssim"), PrintedNumber(0.701)),
        (("table8", "frozen ResNet-101", "σ = 0.2", "psnr"), PrintedNumber(21.362)),
    ],
)
def test_numbers_stand_where_the_paper_has_them(place: tuple[str, str, str, str], expected: PrintedNumber) -> None:
    table, *rest = place
    assert NUMBERS[table].number(*rest) == expected


def test_what_the_paper_does_not_have() -> None:
    assert NUMBERS["table1"].number("Benchmark-i", "σ = 0.1", "accuracy") is None
    assert NUMBERS["table1"].number("Sup. GradProm", "σ = 0.4", "psnr") is None
    assert NUMBERS.keys() == COLUMNS.keys()
    others = {row.row for table in COLUMNS for row in NUMBERS[table].rows if not row.run_here}
    assert others == {"U-SAID", "D2SM", "WinNet", "ADAP", "NAFSSR", "RLFNet", "DVANet", "DDM", "NRSF", "SUD"}


def test_numbers_of_the_notes_are_those_of_the_tables() -> None:
    notes = {note.id: note for table in NUMBERS.values() for note in table.contradictions}
    assert len(notes) >= 5
    for note in notes.values():
        assert note.numbers
        for quoted in note.numbers:
            assert quoted["table"] in note.tables
            found = NUMBERS[quoted["table"]].number(quoted["row"], quoted["column"], quoted["metric"])
            assert found is not None
            assert found.mean == quoted["value"]
    assert "mislabelled_column" in {note.id for note in NUMBERS["table7"].contradictions}
    assert NUMBERS["table6"].contradictions == ()


def psnr(table: str, row: str, column: str) -> float:
    number = NUMBERS[table].number(row, column, "psnr")
    assert number is not None
    return number.mean


def test_contradictions_are_in_the_numbers() -> None:
    texts = {note.id: note.text for table in NUMBERS.values() for note in table.contradictions}
    assert psnr("table1", "Benchmark-i", "σ = 0.1") == psnr("table2", "Benchmark-i", "σ = 0.1") == 27.735
    # The noisy image has -20 log10(0.1) = 20 dB, and more when it is clipped.
    assert psnr("table5", "SR-ResNet", "σ = 0.1") == 19.478 < 20
    for half in ("Unsup.", "Sup."):
        for row in ("GradProm", "frozen"):
            assert psnr("table1", f"{half} {row}", "σ = 0.3") > psnr("table4", f"Base {row}", half) + 4
    ddm = [psnr("table8", "DDM", column) for column in NOISE[1:]]
    assert ddm[0] > ddm[1]
    assert ddm[2] > ddm[0] + 7
    assert min(row.values["γ = 2"]["psnr"].mean for row in NUMBERS["table7"].rows) > 1  # no SSIM

    def gains(ours: str, other: str) -> list[float]:
        return [round(psnr("table2", ours, column) - psnr("table2", other, column), 3) for column in NOISE]

    assert gains("Sup. GradProm", "Benchmark-i") == [5.544, 7.085, 4.534, 5.898]
    own = gains("Sup. GradProm", "Sup. frozen")
    assert all(f"{gain}" in texts["quoted_gains"] for gain in own)
    own = gains("Unsup. GradProm", "Unsup. joint")
    assert all(f"{gain}" in texts["quoted_gains_joint"] for gain in own)
    assert gains("Sup. GradProm", "Unsup. joint")[1:] == [3.018, 3.066, 2.236]
    challenging = {
        metric: [row.values["Sup."][metric].mean for row in NUMBERS["table3"].rows if row.row in ("GradProm", "frozen")]
        for metric in ("psnr", "ssim", "mean_iou")
    }
    assert [round(ours - frozen, 3) for frozen, ours in challenging.values()] == [1.902, 0.133, 0.144]
    assert psnr("table3", "Benchmark-i", "Unsup.") != psnr("table3", "Benchmark-i", "Sup.")
    assert psnr("table1", "Sup. GradProm", "σ = 0.1") == psnr("table5", "GradProm dia ResNet-50", "σ = 0.1")
    assert psnr("table2", "Sup. GradProm", "σ = 0.1") == psnr("table5", "GradProm seg ResNet-50", "σ = 0.1")
    stds = [number.std for table in ("table1", "table2") if (number := NUMBERS[table].number("Benchmark-i", *PLACE))]
    assert stds == [2.22, 2.1]


PLACE = ("σ = 0.1", "psnr")
