"""What decoders written in C print does not reach the terminal."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from shared import InputError
from shared.images import read_picture
from shared.images.decoder_output import decoder_lines
from shared.inference.progress import ImageProgress


def test_dicom_of_12_bit_jpeg(capfd: Any, caplog: pytest.LogCaptureFixture) -> None:
    """ITK tries its decoder of 8 bits first, which complains."""
    path = str(get_testdata_file("JPEG-lossy.dcm"))
    with caplog.at_level(logging.INFO):
        picture = read_picture(path)
    assert picture.pixels.dtype == np.uint16
    assert picture.pixels.max() > 255
    assert capfd.readouterr() == ("", "")
    (line,) = [each for each in caplog.messages if "data precision 12" in each]
    assert line == f"{path}: the decoder says: Unsupported JPEG data precision 12 (5 times)"


@pytest.mark.parametrize("compression", ["group4", "jpeg", "tiff_lzw"])
def test_damaged_tiff(tmp_path: Path, compression: str, capfd: Any) -> None:
    """Libtiff leaves what it cannot decode as it was, and goes on."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)
    image = Image.fromarray(noise > 100 if compression == "group4" else noise)
    image.save(tmp_path / "a.tif", compression=compression)
    assert read_picture(tmp_path / "a.tif").pixels.shape == (1, 90, 80)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[200:230] = b"\xff" * 30
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.tif: cannot be read as an image: \S.*$"):
        read_picture(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_lines_are_those_of_the_block_alone(capfd: Any) -> None:
    os.write(2, b"before\n")
    with decoder_lines("a.png") as lines, decoder_lines("b.png") as inner:
        os.write(2, b" one \n\n two")
    os.write(2, b"behind\n")
    assert (lines, inner) == ([], ["one", "two"])
    assert capfd.readouterr().err == "before\nbehind\n"


def test_an_error_passes_and_the_terminal_comes_back(capfd: Any) -> None:
    found: list[list[str]] = []

    def fail() -> None:
        with decoder_lines("a.png") as lines:
            found.append(lines)
            os.write(2, b"said\n")
            raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"):
        fail()
    os.write(2, b"behind\n")
    assert found == [["said"]]
    assert capfd.readouterr().err == "behind\n"


def test_threads_do_not_mix_their_lines(capfd: Any) -> None:
    def decode(number: int) -> list[str]:
        with decoder_lines(f"{number}.png") as lines:
            for _ in range(20):
                os.write(2, f"{number}\n".encode())
        return lines

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(decode, range(50)))
    assert found == [[str(number)] * 20 for number in range(50)]
    assert capfd.readouterr() == ("", "")


def test_closed_standard_error(capfd: Any) -> None:
    terminal = os.dup(2)
    os.close(2)
    try:
        with decoder_lines("a.png") as lines:
            pass
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
    assert lines == []


def test_a_line_of_the_command_waits_for_the_decoder_of_another_thread(capfd: Any) -> None:
    listening, done = threading.Event(), threading.Event()

    def decode() -> None:
        with decoder_lines("a.dcm"):
            listening.set()
            done.wait(0.3)
            os.write(2, b"complaint\n")

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(decode)
        listening.wait()
        ImageProgress().say("failed: b.dcm")
        future.result()
    assert capfd.readouterr().err == "failed: b.dcm\n"
