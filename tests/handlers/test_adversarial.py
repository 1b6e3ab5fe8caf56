"""The game of generator and discriminator on a stock trainer, against a loop by hand."""

import csv
import logging
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.transforms import RandGaussianNoised
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from shared.errors import InputError
from shared.handlers import (
    AdversarialHandler,
    EpochLog,
    EpochSeed,
    GradPromHandler,
    Progress,
    ResumableCheckpoint,
    TensorBoardCurves,
)
from shared.losses import RelativisticAverage, VanillaAdversarial
from tests.bundles.test_parallel import on_two_ranks
from tests.handlers.adversarial_ranks import Recorder, play
from tests.handlers.game import LOSSES, OPTIMIZERS, WEIGHT, Game, Vanilla, by_hand
from tests.handlers.reference import batches
from tests.handlers.test_gradprom import Scaler


@pytest.mark.parametrize("accumulation_steps", [1, 2, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("strategy", "order"), [
    ("none", 0), ("gradprom", 1), ("gradprom", -1), ("joint", 1), ("joint", -1),
])
def test_equals_a_loop_by_hand(strategy, order, optimizer, accumulation_steps):
    """Eight batches, so that a window of three ends with the epoch; GradProm before and after the discriminator."""
    data = batches(8)
    ours, theirs = Game(optimizer), Game(optimizer)
    handlers = [ours.adversarial, *([] if strategy == "none" else [GradPromHandler(ours.task, strategy)])]
    ours.train(data, handlers[::order or 1], accumulation_steps)
    by_hand(theirs, data, strategy, accumulation_steps)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("accumulation_steps", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", LOSSES)
def test_equals_a_loop_by_hand_with_every_loss(name, optimizer, accumulation_steps):
    data, (loss, naive) = batches(8), LOSSES[name]
    ours, theirs = Game(optimizer, loss=loss), Game(optimizer)
    ours.train(data, [ours.adversarial], accumulation_steps)
    by_hand(theirs, data, "none", accumulation_steps, naive)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_loop_by_hand_would_notice_another_game():
    data, found = batches(8), []
    for strategy in ("none", "gradprom", "joint"):
        for name in LOSSES:
            game = Game()
            by_hand(game, data, strategy, 1, LOSSES[name][1])
            found.append(game.weights())
    assert all((a - b).abs().max() > 1e-6 for k, a in enumerate(found) for b in found[:k])


@pytest.mark.slow
def test_two_ranks_equal_one_process_with_the_joined_batch(tmp_path):
    """With means over both ranks; with each rank's own the game is another."""
    on_two_ranks(["-m", "tests.handlers.adversarial_ranks", str(tmp_path)])
    single = play(batches(6, size=4))
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["global"]["weights"], single["weights"], rtol=0, atol=1e-10)
        assert (found["local"]["weights"] - single["weights"]).abs().max() > 1e-6
        steps = list(zip(found["global"]["published"][1::2], single["published"][1::2], strict=True))
        assert len(steps) == 3
        for ours, theirs in steps:
            assert ours == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("accumulation_steps", [1, 2, 3])
@pytest.mark.parametrize("rule", [None, "gradprom"])
@pytest.mark.parametrize("order", [1, -1])
def test_publishes_what_the_loop_by_hand_measures(order, rule, accumulation_steps):
    """GradProm's vector-Jacobian products run through the prediction too, and do not count."""
    data, game, recorder = batches(7), Game(), Recorder()
    handlers = [game.adversarial, *([] if rule is None else [GradPromHandler(game.task, rule)])]
    trainer = game.train(data, [*handlers[::order], recorder], accumulation_steps)
    expected = by_hand(Game(), data, rule or "none", accumulation_steps)
    ends = [k for k in range(7) if (k + 1) % accumulation_steps == 0 or k == 6] if accumulation_steps > 1 else range(7)
    steps = [recorder.found[k] for k in ends]
    assert len(steps) == len(expected)
    for found, wanted in zip(steps, expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-10)
    means = {name: sum(step[name] for step in expected) / len(expected) for name in expected[0]}
    assert trainer.state.adversarial_epoch["adversarial"] == pytest.approx({**means, "skipped": 0}, rel=1e-10)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_loss_scale_does_not_count_in_the_gradient_ratio(accumulation_steps):
    data, game, recorder = batches(4, dtype=torch.float32), Game(dtype=torch.float32), Recorder()
    game.train(data, [Scaler(init_scale=2.0**12), game.adversarial, recorder], accumulation_steps)
    expected = by_hand(Game(), batches(4), "none", accumulation_steps)
    for found, wanted in zip(recorder.found[accumulation_steps - 1 :: accumulation_steps], expected, strict=True):
        assert found["gradient_ratio"] == pytest.approx(wanted["gradient_ratio"], rel=1e-3)


@pytest.mark.parametrize("kind", ["MetaTensor", "dictionary"])
def test_gradient_ratio_of_a_prediction_of_another_kind(kind):
    """A MetaTensor is viewed as a plain one here; the gradient of the other losses does not pass that view."""
    game, recorder = Game(), Recorder()
    if kind == "MetaTensor":
        data = [{**b, "image": MetaTensor(b["image"]), "label": MetaTensor(b["label"])} for b in batches(3)]
        game.train(data, [game.adversarial, recorder])
    else:
        game.adversarial.prediction_key = "enhanced"
        network = Named(game.generator)
        trainer = SupervisedTrainer(
            device="cpu", max_epochs=1, train_data_loader=batches(3), network=network, optimizer=game.optimizers[0],
            loss_function=lambda found, label: F.mse_loss(found["enhanced"], label), decollate=False,
            train_handlers=[game.adversarial, recorder],
        )
        trainer.run()
    for found, wanted in zip(recorder.found, by_hand(Game(), batches(3)), strict=True):
        assert found == pytest.approx(wanted, rel=1e-10)


class Named(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return {"enhanced": self.network(image), "input": image}


def test_plain_sum_of_gradprom_counts_as_another_loss():
    """The documented exception: L_VR is part of the trainer's loss there."""
    data, game, recorder = batches(1), Game(), Recorder()
    game.train(data, [game.adversarial, GradPromHandler(game.task, "joint"), recorder])
    game, batch = Game(), data[0]
    prediction = game.generator(batch["image"])
    real, fake = game.discriminator(batch["label"]), game.discriminator(prediction)
    ours = WEIGHT * RelativisticAverage().generator(real, fake)
    others = F.mse_loss(prediction, batch["label"]) + F.cross_entropy(game.task.network(prediction), batch["class"])
    norms = [torch.autograd.grad(v, prediction, retain_graph=True)[0].norm() for v in (ours, others)]
    assert recorder.found[0]["gradient_ratio"] == pytest.approx(float(norms[0] / norms[1]), rel=1e-12)


def test_discriminator_runs_twice_per_iteration_and_in_training_mode_whatever_others_do():
    game, modes = Game(), []
    game.discriminator.register_forward_hook(lambda d, *_: modes.append([m.training for m in d.modules()]))

    class Evaluate:
        """Somebody looks at the discriminator in between."""

        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_STARTED, lambda: game.discriminator.eval())

    game.train(batches(5), [Evaluate(), game.adversarial], accumulation_steps=2)
    assert len(modes) == 2 * 5
    assert all(all(mode) for mode in modes)
    assert game.discriminator[1].num_batches_tracked == 10


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_before_its_time_there_is_no_discriminator(accumulation_steps):
    """Weights of every epoch, exactly: without a handler at first, and then as if the game began there."""
    data, game, alone, passes, found = batches(5), Game("adam", after=2), Game("adam"), [], []
    game.discriminator.register_forward_hook(lambda *_: passes.append(1))

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

        def __call__(self, engine):
            found.append((game.weights(), len(passes), dict(engine.state.adversarial_epoch)))

    game.train(data, [game.adversarial, Look()], accumulation_steps, epochs=3)
    alone.train(data, [], accumulation_steps, epochs=2)
    assert torch.equal(found[1][0], alone.weights())
    assert found[1][1:] == (0, {})
    by_hand(alone, data, "none", accumulation_steps)
    torch.testing.assert_close(found[2][0], alone.weights(), rtol=0, atol=1e-12)
    assert found[2][1] == 10


def test_as_many_epochs_before_as_there_are_leave_the_discriminator_out():
    game, alone = Game(after=2), Game()
    game.train(batches(3), [game.adversarial], epochs=2)
    alone.train(batches(3), [], epochs=2)
    assert torch.equal(game.weights(), alone.weights())
    assert game.adversarial.statistics.totals == {"adversarial": {"steps": 0, "skipped": 0}}


@pytest.mark.parametrize("where", ["output", "batch"])
def test_real_images_come_from_the_output_or_else_from_the_batch(where):
    """They are others than the target of the trainer's own loss."""
    data, game, theirs = batches(4), Game(real_key="reference"), Game()
    data = [{**batch, "reference": other["label"]} for batch, other in zip(data, batches(4, seed=7), strict=True)]

    class Put:
        def attach(self, engine):
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

        def __call__(self, engine):
            engine.state.output["reference"] = 1 - engine.state.batch["reference"]

    game.train(data, [*([Put()] if where == "output" else []), game.adversarial])
    for batch in data:
        real = 1 - batch["reference"] if where == "output" else batch["reference"]
        prediction = theirs.generator(batch["image"])
        logits = theirs.discriminator(real), theirs.discriminator(prediction)
        loss = F.mse_loss(prediction, batch["label"]) + WEIGHT * RelativisticAverage().generator(*logits)
        theta, phi = list(theirs.generator.parameters()), list(theirs.discriminator.parameters())
        gradients = [*torch.autograd.grad(loss, theta, retain_graph=True)]
        gradients += torch.autograd.grad(RelativisticAverage().discriminator(*logits), phi)
        for p, g in zip([*theta, *phi], gradients, strict=True):
            p.grad = g
        for optimizer in theirs.optimizers:
            optimizer.step()
    torch.testing.assert_close(game.weights(), theirs.weights(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("batch", "found"), [
    ({}, "NoneType"), ({"reference": ["a"]}, "list"), ({"reference": torch.zeros(2, 3, 8, 7)}, r"\[2, 3, 8, 7\]"),
])
def test_real_images_that_are_none(batch, found):
    game = Game(real_key="reference")
    data = [{**batches(1)[0], **batch}]
    with pytest.raises(InputError, match=rf"real_key: expected 'reference' .* size \[1, 8, 7\] .*, found {found}"):
        game.train(data, [game.adversarial])


class Broken(VanillaAdversarial):
    """A generator's loss whose gradient is infinite at some of its calls; the discriminator's is not."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def generator(self, real, fake):
        self.count += 1
        return super().generator(real, fake) * (math.inf if self.count in self.at else 1.0)


def test_non_finite_gradient_at_the_prediction_is_left_out_with_the_discriminators_step():
    data, ours, theirs = batches(5), Game(loss=Broken({3})), Game(loss=VanillaAdversarial())
    trainer = ours.train(data, [ours.adversarial])
    by_hand(theirs, data[:2], loss=Vanilla())
    theirs.train(data[2:3], [])
    assert ours.adversarial.statistics.totals == {"adversarial": {"steps": 5, "skipped": 1}}
    assert trainer.state.adversarial_epoch["adversarial"]["skipped"] == 1
    by_hand(theirs, data[3:], loss=Vanilla())
    for network in ("generator", "discriminator"):
        pairs = zip(getattr(ours, network).parameters(), getattr(theirs, network).parameters(), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_in_a_window_one_non_finite_gradient_skips_the_discriminators_step():
    """The generator still learns from the discriminator in the rest of the window."""
    data, ours = batches(4), Game(loss=Broken({2}))
    ours.train(data[:2], [ours.adversarial], accumulation_steps=2)
    theirs = Game()
    losses = []
    for k, batch in enumerate(data[:2]):
        prediction = theirs.generator(batch["image"])
        losses.append(F.mse_loss(prediction, batch["label"]) / 2)
        if k == 0:
            theirs.discriminator(batch["label"])
            losses.append(WEIGHT * Vanilla().generator(None, theirs.discriminator(prediction)) / 2)
    theta = list(theirs.generator.parameters())
    for p, g, ours_now in zip(theta, torch.autograd.grad(sum(losses), theta), ours.generator.parameters(), strict=True):
        torch.testing.assert_close(ours_now, p - 0.05 * g, rtol=0, atol=1e-12)
    assert all(map(torch.equal, ours.discriminator.parameters(), Game().discriminator.parameters()))
    assert ours.adversarial.statistics.totals["adversarial"] == {"steps": 1, "skipped": 1}


def test_overflow_at_the_prediction_lowers_the_discriminators_scale():
    """Else a scale that suits D's own gradients, which vanish when D wins, would leave G without D for good."""
    game = Game(dtype=torch.float32, loss=Broken({2, 3}))
    game.train(batches(4, dtype=torch.float32), [Scaler(init_scale=2.0**8), game.adversarial])
    assert game.adversarial.companion.scaler.get_scale() == 2.0**14
    assert game.adversarial.statistics.totals["adversarial"] == {"steps": 4, "skipped": 2}


def run_with_checkpoint(folder, epochs, resume=False, after=2):
    """Shuffled, augmented data, and dropout; the discriminator plays from the third epoch on."""
    game = Game("adam", after=after)
    game.discriminator.register_forward_pre_hook(lambda d, images: F.dropout(images[0], 0.2, d.training))
    items = [{k: v[i] for k, v in b.items()} for b in batches(4, size=2) for i in range(2)]
    dataset = Dataset(items, RandGaussianNoised("image", prob=0.5, std=0.2, dtype=np.float64))
    loader = DataLoader(dataset, batch_size=2, shuffle=True)
    objects = {"network": game.generator, "optimizer": game.optimizers[0], "adversarial": game.adversarial}
    log = EpochLog(str(folder / "history.csv"), "game")
    keep = ResumableCheckpoint(str(folder), "game", {**objects, "log": log}, stages=["game"], resume=resume)
    game.train(loader, [EpochSeed(3, dataset), game.adversarial, log, keep], epochs=epochs)
    return game


@pytest.mark.parametrize("broken_off", [1, 2, 3])
def test_continues_bit_for_bit_before_and_after_the_discriminator_joins(tmp_path, broken_off):
    whole = run_with_checkpoint(tmp_path / "a", 5)
    run_with_checkpoint(tmp_path / "b", broken_off)
    continued = run_with_checkpoint(tmp_path / "b", 5, resume=True)
    assert torch.equal(whole.weights(), continued.weights())
    assert whole.adversarial.statistics.totals == continued.adversarial.statistics.totals
    states = [game.optimizers[1].state_dict()["state"] for game in (whole, continued)]
    assert all(torch.equal(states[0][k][name], states[1][k][name]) for k in states[0] for name in states[0][k])
    assert (tmp_path / "a" / "history.csv").read_bytes() == (tmp_path / "b" / "history.csv").read_bytes()


def test_run_without_a_discriminator_continues_with_one(tmp_path):
    """The checkpoint of the first two epochs is small: D has not played."""
    whole = run_with_checkpoint(tmp_path / "a", 5)
    run_with_checkpoint(tmp_path / "b", 2, after=10)
    assert torch.load(tmp_path / "b" / "checkpoint.pt")["objects"]["adversarial"] == {}
    continued = run_with_checkpoint(tmp_path / "b", 5, resume=True)
    assert torch.equal(whole.weights(), continued.weights())


def test_checkpoint_of_another_discriminator_is_refused(tmp_path):
    game = Game()
    game.train(batches(1), [game.adversarial])
    state = game.adversarial.state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        Game(norm=False).adversarial.load_state_dict({**state, "discriminator": {}})
    with pytest.raises(KeyError, match="critic"):
        Game(name="critic").adversarial.load_state_dict(state)


def test_log_progress_and_curves_show_it(tmp_path, caplog):
    game = Game(name="critic")
    log = EpochLog(str(tmp_path / "history.csv"), "game")
    progress = Progress("game")
    handlers = [game.adversarial, log, progress, TensorBoardCurves(str(tmp_path))]
    with caplog.at_level(logging.INFO):
        trainer = game.train(batches(3), handlers)
    (row,) = csv.DictReader((tmp_path / "history.csv").read_text().splitlines())
    expected = by_hand(Game(), batches(3))
    names = {"real", "fake", "generator", "loss", "gradient_ratio"}
    assert set(row) == {"epoch", "loss", "critic_skipped", *(f"critic_{name}" for name in names)}
    for name in names:
        assert float(row[f"critic_{name}"]) == pytest.approx(sum(step[name] for step in expected) / 3, rel=1e-10)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "shared.handlers.epoch_log"]
    words = [f"critic D(real) {float(row['critic_real']):+.3g}", f"D(fake) {float(row['critic_fake']):+.3g}",
             f"L_G {float(row['critic_generator']):.3g}", f"L_D {float(row['critic_loss']):.3g}", "gradient ratio "]
    assert all(word in line for word in words), line
    assert progress.losses(trainer).keys() == {"loss", "L_G critic", "L_D critic"}


def test_both_handlers_publish_and_none_shadows_the_other():
    game = Game()
    gate = GradPromHandler(game.task)
    trainer = game.train(batches(4), [game.adversarial, gate])
    assert trainer.state.adversarial.keys() == {"adversarial"}
    assert trainer.state.gradprom["class"].keys() == {"cosine", "accepted", "norm_ratio", "loss"}
    assert game.adversarial.statistics.totals == {"adversarial": {"steps": 4, "skipped": 0}}
    with pytest.raises(ValueError, match="expected one that no other handler of this trainer has, found 'gradprom'"):
        game.train(batches(1), [gate, Game(name="gradprom").adversarial])


def test_logged_loss_stays_the_generators_own():
    data, game, losses = batches(1), Game(), []
    expected = F.mse_loss(game.generator(data[0]["image"]), data[0]["label"]).item()

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))

    game.train(data, [game.adversarial, Look()])
    assert losses == [expected]


@pytest.mark.parametrize("weight", [0, 0.0, -1.0, math.nan, math.inf])
def test_weight_without_an_effect_is_refused(weight):
    network = nn.Conv2d(1, 1, 1)
    with pytest.raises(InputError, match=f"weight: expected a finite value > 0, found {weight}"):
        AdversarialHandler(network, torch.optim.SGD(network.parameters()), RelativisticAverage(), weight)


@pytest.mark.parametrize("after", [-1, 0.5, "2"])
def test_epochs_before_are_a_whole_number(after):
    with pytest.raises(InputError, match=f"after: expected a number of epochs >= 0, found {after!r}"):
        Game(after=after)


def test_optimizer_of_another_network_is_refused():
    network, other = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    optimizer = torch.optim.SGD([*network.parameters(), *other.parameters()])
    with pytest.raises(InputError, match="optimizer: expected one of the discriminator's parameters alone, found 2"):
        AdversarialHandler(network, optimizer, RelativisticAverage(), 1.0)


def test_wrapped_discriminator_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        network = DistributedDataParallel(nn.Conv2d(1, 1, 1))
        with pytest.raises(InputError, match="discriminator: expected the network itself, found it wrapped"):
            AdversarialHandler(network, torch.optim.SGD(network.parameters()), RelativisticAverage(), 1.0)
    finally:
        torch.distributed.destroy_process_group()
