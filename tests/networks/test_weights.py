import json

import pytest
import torch
from torch import nn

from shared.bundle import provenance
from shared.errors import InputError
from shared.networks import weights


def test_round_trip(tmp_path):
    a, b = nn.Linear(2, 3), nn.Linear(2, 3)
    weights.save(a.state_dict(), tmp_path / "deep" / "model.pt")
    weights.load_into(b, weights.read(tmp_path / "deep" / "model.pt"), "model.pt")
    assert torch.equal(a.weight, b.weight)


def test_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.pt"
    weights.save({"x": torch.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle|lambda"):
        weights.save({"x": lambda: None}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_equal_states_are_equal_bytes_under_any_name(tmp_path):
    network = nn.Linear(2, 3)
    for name in ("a.pt", "b.pt"):
        weights.save(network.state_dict(), tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.parametrize("count", [1, 10**6])
def test_a_full_disk_is_named(count):
    with pytest.raises(OSError, match="No space left on device"):
        weights.write({"x": torch.ones(count)}, "/dev/full")


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file; train first"),
    (b"", "found no readable PyTorch state"),
    (b"PK\x03\x04", "found no readable PyTorch state"),
    (b"text", "found no readable PyTorch state"),
])
def test_unreadable_file(tmp_path, content, message):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        weights.read(path, "train first")
    assert str(path) in str(caught.value)


def test_file_that_holds_something_else(tmp_path):
    torch.save(torch.ones(2), tmp_path / "model.pt")
    with pytest.raises(InputError, match="found Tensor, expected a dictionary"):
        weights.read(tmp_path / "model.pt")


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.pop("bias"), "found no 'bias', expected all 2 keys of Linear"),
    (lambda s: s.update(weight=torch.ones(5)), r"found 'weight' of shape \(5,\), expected \(3, 2\)"),
    (lambda s: s.update(gain=torch.ones(1)), "found 'gain', which Linear has not"),
])
def test_weights_of_another_network(change, message):
    network = nn.Linear(2, 3)
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(InputError, match=f"other.pt: weights of another network: {message}"):
        weights.load_into(network, state, "other.pt")


def test_provenance_names_what_decides_about_a_result():
    found = provenance.describe("isic", True, 3, torch.device("cpu"), strategy="joint")
    assert found["data"] == "isic"
    assert (found["phantom"], found["seed"], found["device"], found["strategy"]) == (True, 3, "cpu", "joint")
    assert {"torch", "monai", "python", "shared"} <= found["versions"].keys()
    json.dumps(found)


def test_command_is_what_a_person_types(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/x/site-packages/monai/bundle/__main__.py", "run", "--sigma", "0.1"])
    assert provenance.command() == "python -m monai.bundle run --sigma 0.1"


@pytest.mark.parametrize(("before", "phantom", "refused"), [
    (False, True, True), (True, True, False), (False, False, False), (None, True, False),
])
def test_phantom_never_overwrites_weights_of_real_data(tmp_path, before, phantom, refused):
    (tmp_path / "model.pt").touch()
    if before is not None:
        provenance.write_json({"phantom": before}, tmp_path / "provenance.json")
    if refused:
        with pytest.raises(InputError, match="trained on real data"):
            provenance.protect(tmp_path, phantom)
    else:
        provenance.protect(tmp_path, phantom)


def test_damaged_provenance(tmp_path):
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(InputError, match="provenance.json: found no JSON"):
        provenance.read(tmp_path)


def test_files_set_aside_are_numbered_and_found_again(tmp_path):
    assert weights.set_aside(tmp_path / "none", ["model.pt"]) is None
    (tmp_path / "earlier-7").mkdir()
    (tmp_path / "earlier-x").mkdir()
    for number in (8, 9):
        (tmp_path / "model.pt").write_text(str(number))
        (tmp_path / "mine.txt").write_text("mine")
        assert weights.set_aside(tmp_path, ["model.pt", "recognition.pt"]) == tmp_path / f"earlier-{number}"
    (tmp_path / "earlier-10").mkdir()
    assert [(path, path.read_text()) for path in weights.latest(tmp_path / "model.pt")] == [
        (tmp_path / "earlier-9" / "model.pt", "9")
    ]
    assert (tmp_path / "earlier-8" / "model.pt").read_text() == "8"
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert weights.latest(tmp_path / "recognition.pt") == []
    with pytest.raises(InputError, match=r"model.pt: no such file; train first; that of an earlier run is .*earlier-9"):
        weights.read(tmp_path / "model.pt", "train first")


def test_files_that_cannot_be_set_aside_stay(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_text("old")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(InputError, match="files of an earlier run cannot be moved to earlier-1: Permission denied"):
        weights.set_aside(tmp_path, ["model.pt"])
    assert (tmp_path / "model.pt").read_text() == "old"


@pytest.mark.parametrize(("state", "name"), [
    ({"a": torch.ones(2), "b": {"c": torch.tensor([1, 2]), "d": None}, "e": float("nan")}, None),
    ({"a": torch.ones(2), "b": {"c": {"d": torch.tensor([1.0, float("inf")])}}}, "b.c.d"),
    ({0: torch.tensor(float("nan"), dtype=torch.bfloat16)}, "0"),
])
def test_first_tensor_that_is_not_finite(state, name):
    assert weights.first_not_finite(state) == name
