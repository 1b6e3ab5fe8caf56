"""What is recognised on a person's own data, from labels or from a checkpoint, and the errors around it."""

from functools import partial

import pytest
import torch
from monai.networks.nets import FlexibleUNet, resnet10

from shared.data.folder import FolderContents
from shared.errors import InputError
from shared.recognition import folder_tasks

NETWORKS = {
    "diagnosis": partial(resnet10, spatial_dims=2, n_input_channels=1, num_classes=3, conv1_t_stride=2,
                         bias_downsample=False, widen_factor=0.1),
    "segmentation": partial(FlexibleUNet, in_channels=1, out_channels=2, backbone="resnet10", spatial_dims=2),
}
NOTHING = FolderContents((), (), ())
MASKS = FolderContents((), (), (0, 255))
CLASSES = FolderContents((), ("a", "b", "c"), ())
BOTH = FolderContents((), ("a", "b", "c"), (0, 255))


@pytest.fixture(scope="module")
def states():
    torch.manual_seed(0)
    return {kind: make().state_dict() for kind, make in NETWORKS.items()}


@pytest.fixture
def checkpoint(tmp_path, states):
    def save(content):
        torch.save(content, tmp_path / "recognition.pt")
        return str(tmp_path / "recognition.pt")

    return save


@pytest.mark.parametrize(("contents", "outputs", "auxiliary"), [
    (NOTHING, {}, "none"),
    (MASKS, {"segmentation": 2}, "segmentation"),
    (CLASSES, {"diagnosis": 3}, "diagnosis"),
    (BOTH, {"segmentation": 2, "diagnosis": 3}, "segmentation"),
])
def test_labels_decide(contents, outputs, auxiliary):
    found = folder_tasks.recognisable(contents)
    assert found == outputs
    assert folder_tasks.default_auxiliary(found) == auxiliary


def test_a_checkpoint_decides_before_labels(checkpoint, states):
    cases = [
        (states["diagnosis"], {"diagnosis": 3}, "diagnosis"),
        ({"segmentation": states["segmentation"]}, {"segmentation": 2}, "segmentation"),
        (states, {"segmentation": 2, "diagnosis": 3}, "both"),
    ]
    for content, outputs, auxiliary in cases:
        path = checkpoint(content)
        found = folder_tasks.recognisable(NOTHING, path)
        assert found == outputs
        assert folder_tasks.default_auxiliary(found, path) == auxiliary
    assert not folder_tasks.default_supervised(path)
    assert folder_tasks.default_supervised(None)


def test_nothing_to_recognise_means_strategy_none_with_a_warning(caplog):
    assert folder_tasks.default_strategy("segmentation") == "gradprom"
    assert not caplog.records
    assert folder_tasks.default_strategy("none") == "none"
    (record,) = caplog.records
    assert all(key in record.getMessage() for key in ("--masks", "--classes", "--recognition_weights"))
    assert folder_tasks.build_tasks(NETWORKS, NOTHING, "none", "none") == []


def test_the_checkpoint_is_loaded(checkpoint, states):
    path = checkpoint(states["diagnosis"])
    (task,) = folder_tasks.build_tasks(NETWORKS, NOTHING, "diagnosis", supervised=False, recognition_weights=path)
    assert task.label_key is None
    for key, value in task.network.state_dict().items():
        assert torch.equal(value, states["diagnosis"][key]), key
    (task,) = folder_tasks.build_tasks(NETWORKS, CLASSES, "diagnosis", recognition_weights=path)
    assert task.label_key == "class"


def test_tasks_look_at_the_channels_that_are_asked_for():
    tasks = folder_tasks.build_tasks(NETWORKS, BOTH, "both", channels=1)
    assert [task.channels for task in tasks] == [1, 1]


ERRORS = {
    "nothing, and a strategy that needs something": (
        NOTHING, {"auxiliary": "none"}, None,
        "strategy: found 'gradprom', but no masks.*--masks.*--classes.*--recognition_weights.*--strategy none",
    ),
    "no classes": (MASKS, {"auxiliary": "both"}, None, "auxiliary: found 'both', but the folder has no labels for"),
    "checkpoint of another kind": (
        MASKS, {"auxiliary": "segmentation"}, "diagnosis", "recognition.pt' holds no network for segmentation",
    ),
    "supervised without labels": (
        NOTHING, {"auxiliary": "diagnosis"}, "diagnosis",
        "supervised: found True, .* folder has 0 classes and '.*recognition.pt' 3; expected --supervised False",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_refuses_what_does_not_fit_together(name, checkpoint, states):
    contents, arguments, kind, message = ERRORS[name]
    path = None if kind is None else checkpoint(states[kind])
    with pytest.raises(InputError, match=message):
        folder_tasks.build_tasks(NETWORKS, contents, recognition_weights=path, **arguments)


def test_checkpoint_of_another_network(checkpoint, states):
    path = checkpoint(states["diagnosis"])
    colour = {"diagnosis": partial(NETWORKS["diagnosis"], n_input_channels=3)}
    with pytest.raises(InputError, match="recognition_weights: .*recognition.pt: weights of another network: .*"
                                         "conv1.weight.*; give --backbone and --channels"):
        folder_tasks.build_tasks(colour, NOTHING, "diagnosis", supervised=False, recognition_weights=path)
    path = checkpoint({"head.0.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="recognition_weights: '.*' holds no recognition network, expected recognit"):
        folder_tasks.recognisable(NOTHING, path)
    with pytest.raises(InputError, match="nowhere.pt: no such file"):
        folder_tasks.recognisable(NOTHING, "nowhere.pt")
