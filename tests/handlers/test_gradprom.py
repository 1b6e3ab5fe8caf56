import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from shared.distributed import agree, average, broadcast
from shared.handlers import GradPromHandler, NonFiniteError
from shared.recognition import RecognitionTask
from tests.handlers.reference import RATE, System, batches, enhancement_network, naive_training

STRATEGIES = ["gradprom", "gradprom_cosine", "joint", "frozen"]
MIXES = [("class",), ("mask",), ("class", "mask")]


@pytest.mark.parametrize("accumulation_steps", [1, 2, 4])
@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize("kinds", MIXES, ids="+".join)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_three_plain_gradients(strategy, kinds, supervised, accumulation_steps):
    """Weights of all networks, float64; 12 batches, and the epoch ends with a flush of the 4-step window."""
    data = batches(12)
    make = {"kinds": kinds, "supervised": supervised, "trainable": strategy != "frozen"}
    ours, theirs = System(**make), System(**make)
    ours.train(data, strategy, accumulation_steps=accumulation_steps)
    naive_training(theirs, data, strategy, accumulation_steps)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_reference_would_notice_another_rule():
    data = batches(12)
    systems = {}
    for strategy in [*STRATEGIES, "none"]:
        systems[strategy] = System(trainable=strategy not in ("frozen", "none"))
        naive_training(systems[strategy], data, strategy)
    names = list(systems)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert (systems[a].weights() - systems[b].weights()).abs().max() > 1e-6, (a, b)


def test_incomplete_window_is_flushed_like_the_trainers():
    """Five batches, two at a time: the trainer steps after the fifth with half a window."""
    data = batches(5)
    ours, theirs = System(), System()
    ours.train(data, "gradprom", accumulation_steps=2)
    naive_training(theirs, data, "gradprom", 2)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_published_state_is_that_of_the_reference():
    data = batches(10)
    published, system = [], System(kinds=("class", "mask"))

    class Recorder:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: published.append(e.state.gate))

    trainer, handler = system.train(data, name="gate", before=[Recorder()])
    cosines = naive_training(System(kinds=("class", "mask")), data, "gradprom")
    found = [[float(s["class"]["cosine"]), float(s["mask"]["cosine"])] for s in published]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(cosines), rtol=0, atol=1e-6)
    assert all(s[n]["accepted"] == (s[n]["cosine"] >= 0) for s in published for n in s)
    accepted = [bool(s["class"]["accepted"]) for s in published]
    assert True in accepted
    assert False in accepted
    assert trainer.state.gate_epoch["class"]["acceptance"] == pytest.approx(sum(accepted) / len(accepted))
    assert handler.statistics.totals["class"] == {"steps": 10, "accepted": sum(accepted), "skipped": 0}
    assert {"loss", "norm_ratio"} <= published[0]["mask"].keys()


def test_norm_ratio_is_lambda_times_the_ratio_of_norms():
    data = batches(1)
    system = System(weight=0.25)
    theta = list(system.network.parameters())
    batch, task = data[0], system.tasks[0]
    prediction = system.network(batch["image"])
    g_ip = torch.autograd.grad(nn.functional.mse_loss(prediction, batch["label"]), theta, retain_graph=True)
    g_vr = torch.autograd.grad(nn.functional.cross_entropy(task.network(prediction), batch["class"]), theta)
    expected = 0.25 * math.sqrt(sum((g**2).sum() for g in g_vr) / sum((g**2).sum() for g in g_ip))
    trainer, _ = system.train(data)
    assert trainer.state.gradprom["class"]["norm_ratio"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strategy", ["joint", "frozen"])
def test_plain_sum_by_loss_and_by_gradient_agree(strategy):
    data = batches(6)
    by_loss, by_gradient = System(trainable=strategy != "frozen"), System(trainable=strategy != "frozen")
    trainer, _ = by_loss.train(data, strategy)
    assert math.isnan(trainer.state.gradprom["class"]["cosine"])
    trainer, _ = by_gradient.train(data, strategy, always_measure=True)
    assert math.isfinite(trainer.state.gradprom["class"]["cosine"])
    torch.testing.assert_close(by_loss.weights(), by_gradient.weights(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_logged_loss_stays_that_of_the_enhancement(strategy):
    losses, batch = [], batches(1)[0]
    system = System(trainable=strategy != "frozen", weight=10.0)

    class Recorder:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))

    expected = nn.functional.mse_loss(system.network(batch["image"]), batch["label"]).item()
    system.train([batch], strategy, before=[Recorder()])
    assert losses == pytest.approx([expected], rel=1e-14)


def test_without_the_gate_open_theta_moves_as_without_the_handler():
    """Contrary labels: every step has s < 0, so IP's weights equal those of plain training."""
    data = batches(8)
    system, plain = System(), System()
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=plain.network, optimizer=plain.optimizer,
        loss_function=nn.MSELoss(), decollate=False,
    )
    trainer.run()

    class Contrary(nn.Module):
        """A recognition loss that is minus the enhancement loss, so that s = -1."""

        def forward(self, images, batch_label):
            return -((images - batch_label) ** 2).mean()

    system.tasks = [RecognitionTask(nn.Identity(), Contrary(), None, "label", 1.0, "contrary")]
    _, handler = system.train(data)
    assert handler.statistics.totals["contrary"]["accepted"] == 0
    for a, b in zip(system.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("steps", [2, 3])
def test_accumulated_micro_batches_equal_one_large_batch(steps):
    small = batches(steps, size=2)
    large = {k: sum((b[k] for b in small), []) if k == "id" else torch.cat([b[k] for b in small]) for k in small[0]}
    a, b = System(), System()
    trainer_a, _ = a.train(small, accumulation_steps=steps)
    trainer_b, _ = b.train([large])
    torch.testing.assert_close(a.weights(), b.weights(), rtol=0, atol=1e-13)
    assert trainer_a.state.gradprom["class"]["cosine"] == pytest.approx(
        float(trainer_b.state.gradprom["class"]["cosine"]), abs=1e-12
    )


def test_warmup_trains_the_enhancement_network_alone():
    data = batches(3)
    system, plain = System(), System()
    initial = [p.clone() for p in system.tasks[0].network.parameters()]
    snapshots = []

    class Recorder:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: snapshots.append((
                system.weights(), [p.clone() for p in system.tasks[0].network.parameters()])))

    trainer, handler = system.train(data, epochs=4, warmup=0.5, before=[Recorder()])
    for _ in range(2):
        naive_training(plain, data, "none")
    torch.testing.assert_close(snapshots[1][0], plain.weights(), rtol=0, atol=1e-13)
    assert all(torch.equal(a, b) for a, b in zip(snapshots[1][1], initial, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(snapshots[2][1], initial, strict=True))
    assert handler.statistics.totals["class"]["steps"] == 6


@pytest.mark.parametrize(("warmup", "max_epochs", "epochs"), [
    (0.0, 1, 0), (0.1, 100, 10), (0.1, 30, 3), (0.1, 10, 1), (0.1, 2, 1), (0.25, 6, 2), (0.7, 10, 7),
])
def test_warmup_is_a_fraction_of_max_epochs(warmup, max_epochs, epochs):
    assert GradPromHandler(System().tasks, warmup=warmup).warmup_epochs(max_epochs) == epochs


def test_warmup_that_takes_all_epochs_is_an_error():
    with pytest.raises(ValueError, match="could never be let in"):
        System().train(batches(1), epochs=1, warmup=0.1)


def test_unsupervised_target_is_a_copy_from_the_beginning_of_the_cascade():
    system = System(supervised=False)
    initial = [p.clone() for p in system.tasks[0].network.parameters()]
    system.train(batches(4), epochs=2, warmup=0.5)
    task = system.tasks[0]
    assert all(torch.equal(a, b) for a, b in zip(task.target_network.parameters(), initial, strict=True))
    assert not any(p.requires_grad for p in task.target_network.parameters())
    assert not task.target_network.training
    assert not all(torch.equal(a, b) for a, b in zip(task.network.parameters(), initial, strict=True))


def test_unsupervised_target_keeps_the_batch_statistics_from_before_the_cascade():
    system = System(supervised=False)
    task = system.tasks[0]
    task.network = nn.Sequential(nn.BatchNorm2d(1, dtype=torch.float64), task.network)
    task.optimizer = torch.optim.SGD(task.network.parameters(), lr=RATE)
    system.train(batches(2))
    assert torch.equal(task.target_network[0].running_mean, torch.zeros(1, dtype=torch.float64))
    assert not torch.equal(task.network[0].running_mean, torch.zeros(1, dtype=torch.float64))


def test_clean_accuracy_survives_unsupervised_training():
    """With the live network as its own target it would fall: the loss has a trivial minimum there."""
    torch.manual_seed(0)
    data = batches(40, size=8, dtype=torch.float64)
    for batch in data:
        batch["label"] = batch["label"] * 0.2 + batch["class"].view(-1, 1, 1, 1) * 0.4
        batch["image"] = batch["label"] + 0.3 * torch.randn_like(batch["label"])
    system = System(supervised=False)
    task = system.tasks[0]
    pretrain = torch.optim.Adam(task.network.parameters(), lr=1e-2)
    for batch in data:
        pretrain.zero_grad()
        nn.functional.cross_entropy(task.network(batch["label"]), batch["class"]).backward()
        pretrain.step()

    def accuracy() -> float:
        with torch.no_grad():
            right = [(task.network(b["label"]).argmax(1) == b["class"]).double().mean() for b in data]
        return float(torch.stack(right).mean())

    before = accuracy()
    assert before > 0.9
    task.optimizer = torch.optim.Adam(task.network.parameters(), lr=1e-3)
    system.train(data, epochs=4)
    assert accuracy() > before - 0.05


def test_frozen_network_stays_in_evaluation_mode_and_keeps_its_statistics():
    system = System(trainable=False)
    task = system.tasks[0]
    task.network = nn.Sequential(nn.BatchNorm2d(1, dtype=torch.float64), task.network)
    before = {k: v.clone() for k, v in task.network.state_dict().items()}
    system.train(batches(3), "frozen")
    assert not task.network.training
    assert all(torch.equal(v, before[k]) for k, v in task.network.state_dict().items())


class Explode(nn.Module):
    """A recognition loss with a gradient that is not finite for the batches that hold class 0 first."""

    def forward(self, logits, truth):
        loss = nn.functional.cross_entropy(logits, truth)
        return loss * math.inf if truth[0] == 0 else loss


@pytest.mark.parametrize("strategy", ["gradprom", "joint"])
def test_non_finite_recognition_gradient_is_left_out_and_counted(strategy):
    data = batches(12)
    bad = sum(int(b["class"][0]) == 0 for b in data)
    assert 0 < bad < len(data)
    ours, theirs = System(), System()
    ours.tasks[0].loss_function = Explode()
    _, handler = ours.train(data, strategy)
    assert handler.statistics.totals["class"]["skipped"] == bad
    for batch in data:
        naive_training(theirs, [batch], "none" if batch["class"][0] == 0 else strategy)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_non_finite_enhancement_loss_names_the_images():
    data = batches(3)
    data[1]["image"][0, 0, 0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="found nan in epoch 1, iteration 2, images image_1_0, image_1_1"):
        System().train(data)


def test_non_finite_enhancement_gradient_names_the_images():
    class RootLoss(nn.Module):
        def forward(self, prediction, target):
            return ((prediction - prediction.detach()) ** 2).sum().sqrt()

    system = System()
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=batches(1), network=system.network, optimizer=system.optimizer,
        loss_function=RootLoss(), decollate=False, train_handlers=[GradPromHandler(system.tasks)],
    )
    with pytest.raises(NonFiniteError, match="gradient of the enhancement loss: found nan, in epoch 1"):
        trainer.run()


def test_zero_recognition_gradient_counts_as_aligned():
    system = System()
    nn.init.zeros_(system.tasks[0].network[-1].weight)
    trainer, _ = system.train(batches(1))
    assert trainer.state.gradprom["class"]["cosine"] == 0.0
    assert trainer.state.gradprom["class"]["accepted"]


class Scaler:
    """Put a loss scaler on a trainer that runs on the CPU, where the stock trainer would not make one."""

    def __init__(self, **kwargs):
        self.scaler = torch.amp.GradScaler("cpu", **kwargs)

    def attach(self, engine):
        def install(e):
            e.scaler, e.amp = self.scaler, True

        engine.add_event_handler(Events.STARTED, install)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fused", [False, True])
def test_loss_scale_changes_nothing(strategy, fused):
    data = batches(6, dtype=torch.float32)
    make = {"dtype": torch.float32, "trainable": strategy != "frozen", "kinds": ("class", "mask")}
    plain, scaled = System(**make), System(**make)
    for system in (plain, scaled):
        system.optimizer = torch.optim.SGD(system.network.parameters(), lr=RATE, fused=fused)
    a, _ = plain.train(data, strategy, always_measure=True)
    scaler = Scaler(init_scale=2.0**16, growth_interval=2)
    b, _ = scaled.train(data, strategy, always_measure=True, before=[scaler])
    assert scaler.scaler.get_scale() > 2.0**16
    torch.testing.assert_close(plain.weights(), scaled.weights(), rtol=0, atol=2e-6)
    for name in ("class", "mask"):
        found, expected = b.state.gradprom[name], a.state.gradprom[name]
        assert found["cosine"] == pytest.approx(float(expected["cosine"]), abs=1e-5)
        assert found["norm_ratio"] == pytest.approx(float(expected["norm_ratio"]), rel=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_overflowing_iteration_moves_neither_network(fused):
    """The first scale overflows float32; the scaler halves it and skips, and VR waits as well."""
    system = System(dtype=torch.float32)
    system.optimizer = torch.optim.SGD(system.network.parameters(), lr=RATE, fused=fused)
    before, snapshots = system.weights(), []

    class Recorder:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: snapshots.append(system.weights()))

    scaler = Scaler(init_scale=3e38, backoff_factor=1e-30)
    data = batches(2, dtype=torch.float32)
    data[0]["label"] *= 1e4
    system.train(data, before=[scaler, Recorder()])
    assert torch.equal(snapshots[0], before)
    assert not torch.equal(snapshots[1], before)


def test_state_dict_restores_everything():
    data = batches(4)
    a, b = System(supervised=False), System(supervised=False)
    _, trained = a.train(data)
    _, other = b.train(data[:1])
    other.load_state_dict(trained.state_dict())
    task, restored = a.tasks[0], b.tasks[0]
    for x, y in ((task.network, restored.network), (task.target_network, restored.target_network)):
        assert all(torch.equal(p, q) for p, q in zip(x.parameters(), y.parameters(), strict=True))
    assert other.statistics.totals == trained.statistics.totals


def test_second_run_of_a_trainer_does_not_apply_the_rule_twice():
    data = batches(4)
    ours, theirs = System(), System()
    trainer, _ = ours.train(data)
    trainer.state.max_epochs = 2
    trainer.run()
    naive_training(theirs, data, "gradprom")
    naive_training(theirs, data, "gradprom")
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_parameters_outside_the_predictions_graph_are_no_obstacle():
    system = System()
    system.network.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    layers = nn.Sequential(*list(system.network.children()))
    system.network.forward = lambda x: layers(x)
    system.optimizer = torch.optim.SGD(system.network.parameters(), lr=RATE)
    trainer, _ = system.train(batches(2))
    assert torch.equal(system.network.unused, torch.ones(2, dtype=torch.float64))
    assert math.isfinite(trainer.state.gradprom["class"]["cosine"])


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"rule": "gradpron"}, "did you mean 'gradprom'"),
    ({"warmup": 1.0}, r"warmup: expected a fraction in \[0, 1\), found 1.0"),
    ({"warmup": -0.1}, "warmup: expected a fraction"),
    ({"tasks": []}, "tasks: expected at least one"),
    ({"rule": "frozen"}, "'frozen' expects tasks without an optimizer"),
])
def test_refuses_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GradPromHandler(**{"tasks": System().tasks, **kwargs})


def test_refuses_two_tasks_of_one_name():
    with pytest.raises(ValueError, match="each with a name of its own"):
        GradPromHandler(System().tasks * 2)


def test_missing_ground_truth_names_the_key():
    data = batches(1)
    del data[0]["class"]
    with pytest.raises(KeyError, match="the batch has no key 'class'"):
        System().train(data)


@pytest.mark.parametrize("size", [(37, 31), (32, 64), (5, 90)])
def test_prediction_is_padded_to_a_multiple_and_cropped_back(size):
    seen = []

    class Network(nn.Module):
        def forward(self, images):
            seen.append(tuple(images.shape[-2:]))
            return images

    task = RecognitionTask(Network(), nn.MSELoss(), divisible_by=32)
    images = torch.rand(1, 2, *size)
    assert torch.equal(task.predict(images), images)
    assert all(n % 32 == 0 and n >= m and n - m < 32 for n, m in zip(seen[0], size, strict=True))


def test_collectives_do_nothing_in_one_process():
    tensor = torch.ones(3)
    average([tensor])
    broadcast([tensor])
    assert torch.equal(tensor, torch.ones(3))
    assert agree(torch.tensor(True))
    assert not agree(torch.tensor(False))


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_parameters_that_share_one_gradient(accumulation_steps):
    """For a + b, autograd hands out one tensor for both parameters: scaling it in place would scale it twice."""

    class TwoBiases(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = System().tasks[0].network
            self.a = nn.Parameter(torch.zeros(3, dtype=torch.float64))
            self.b = nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self, images):
            return self.base(images) + (self.a + self.b)

    ours, theirs = System(), System()
    for system in (ours, theirs):
        task = system.tasks[0]
        task.network = TwoBiases()
        task.optimizer = torch.optim.SGD(task.network.parameters(), lr=RATE)
    ours.train(batches(4), accumulation_steps=accumulation_steps)
    naive_training(theirs, batches(4), "gradprom", accumulation_steps)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_custom_rule_object():
    """A user's own rule: any callable with the signature of the module's rules."""
    from shared.update_rules import Sum, Update

    class Always:
        def __call__(self, main, auxiliaries, weights) -> Update:
            return Sum()(main, auxiliaries, [2 * w for w in weights])

    ours, theirs = System(weight=0.5), System(weight=1.0)
    ours.train(batches(3), Always())
    naive_training(theirs, batches(3), "joint")
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_rule_that_measures_numbers_in_main_memory():
    """A user's rule may return plain numbers; it need not know what to do with values that are not finite."""
    from shared.update_rules import GradientPromotion, Update

    def rule(main, auxiliaries, weights) -> Update:
        assert all(g.isfinite().all() for gradients in auxiliaries for g in gradients)
        found = GradientPromotion()(main, auxiliaries, weights)
        cosines, accepted = [float(s) for s in found.cosines], [bool(a) for a in found.accepted]
        return Update(found.gradients, cosines, accepted, float(found.main_norm), [float(n) for n in found.norms])

    ours, theirs = System(), System()
    for system in (ours, theirs):
        system.tasks[0].loss_function = Explode()
    a, handler = ours.train(batches(12), rule)
    b, expected = theirs.train(batches(12), "gradprom")
    assert torch.equal(ours.weights(), theirs.weights())
    assert handler.statistics.totals == expected.statistics.totals
    torch.testing.assert_close(a.state.gradprom, b.state.gradprom, rtol=0, atol=0, equal_nan=True)


def test_prediction_that_is_no_tensor():
    class Two(nn.Module):
        def forward(self, prediction, target):
            return prediction[0].mean()

    network = enhancement_network()

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return [self.network(x)]

    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=batches(1), network=Pair(),
        optimizer=torch.optim.SGD(network.parameters(), lr=RATE), loss_function=Two(), decollate=False,
        train_handlers=[GradPromHandler(System().tasks)],
    )
    with pytest.raises(TypeError, match="expected tensors, found list"):
        trainer.run()


class InDictionary(nn.Module):
    """IP whose image is one of several things that it returns."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return {"features": x, "image": self.network(x)}


def train_dictionary(system, prediction_key):
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=batches(4), network=InDictionary(system.network),
        optimizer=system.optimizer, decollate=False,
        loss_function=lambda prediction, label: nn.functional.mse_loss(prediction["image"], label),
        train_handlers=[GradPromHandler(system.tasks, prediction_key=prediction_key)],
    )
    trainer.run()


@pytest.mark.parametrize("supervised", [True, False])
def test_prediction_is_taken_out_of_a_dictionary(supervised):
    inside, plain = System(supervised=supervised), System(supervised=supervised)
    train_dictionary(inside, "image")
    plain.train(batches(4))
    assert torch.equal(inside.weights(), plain.weights())


@pytest.mark.parametrize(("key", "error", "message"), [
    ("picture", KeyError, r"prediction_key: .* found 'picture' and \['features', 'image'\]"),
    (None, TypeError, "expected tensors, found dict; prediction_key names the image"),
])
def test_dictionary_without_the_key(key, error, message):
    with pytest.raises(error, match=message):
        train_dictionary(System(), key)


def train_without_label(system, data):
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=system.network, optimizer=system.optimizer,
        prepare_batch=lambda batch, device, non_blocking, **kwargs: (batch["image"], None), decollate=False,
        loss_function=lambda prediction, _: prediction.square().mean(),
        train_handlers=[GradPromHandler(system.tasks)],
    )
    trainer.run()
    return trainer


def test_only_an_unsupervised_task_needs_the_clean_image():
    data = [{key: value for key, value in batch.items() if key != "label"} for batch in batches(3)]
    trainer = train_without_label(System(), data)
    assert math.isfinite(trainer.state.gradprom["class"]["cosine"])
    with pytest.raises(KeyError, match="'class': without a label_key it needs the clean image 'label', found none"):
        train_without_label(System(supervised=False), data)
    # The trainer does not take it as the target of its own loss, but the batch has it.
    train_without_label(System(supervised=False), batches(3))
