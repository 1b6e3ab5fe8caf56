"""A tiny system, and GradProm written the plainest way: three ``autograd.grad`` calls a step, and a formula."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from monai.engines import SupervisedTrainer
from monai.losses import DiceCELoss
from torch import nn

from shared.handlers import GradPromHandler
from shared.recognition import RecognitionTask

CLASSES = 3
RATE = 0.05


def enhancement_network(dtype=torch.float64) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PReLU(), nn.Conv2d(4, 1, 3, padding=1)).to(dtype)


def diagnosis_network(dtype=torch.float64) -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6 * 5, CLASSES)).to(dtype)


def segmentation_network(dtype=torch.float64) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, CLASSES, 1)).to(dtype)


def batches(count: int, size: int = 2, dtype=torch.float64, seed: int = 0) -> list[dict]:
    generator = torch.Generator().manual_seed(seed)
    result = []
    for k in range(count):
        clean = torch.rand(size, 1, 8, 7, generator=generator, dtype=torch.float64)
        noise = 0.3 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        result.append({
            "id": [f"image_{k}_{i}" for i in range(size)],
            "image": (clean + noise).to(dtype),
            "label": clean.to(dtype),
            "class": torch.randint(CLASSES, (size,), generator=generator),
            "mask": torch.randint(CLASSES, (size, 1, 8, 7), generator=generator).to(dtype),
        })
    return result


@dataclass
class System:
    """IP, its optimizer, and a list of recognition tasks, all of them fresh and the same every time."""

    kinds: tuple[str, ...] = ("class",)
    supervised: bool = True
    trainable: bool = True
    weight: float = 1.0
    dtype: torch.dtype = torch.float64
    tasks: list[RecognitionTask] = field(init=False)

    def __post_init__(self) -> None:
        self.network = enhancement_network(self.dtype)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=RATE)
        self.tasks = []
        for kind in self.kinds:
            network = (diagnosis_network if kind == "class" else segmentation_network)(self.dtype)
            loss = nn.CrossEntropyLoss() if kind == "class" else DiceCELoss(to_onehot_y=True, softmax=True)
            self.tasks.append(RecognitionTask(
                network,
                loss if self.supervised else nn.MSELoss(),
                torch.optim.SGD(network.parameters(), lr=RATE) if self.trainable else None,
                kind if self.supervised else None,
                self.weight,
                kind,
            ))

    def train(self, data, rule="gradprom", epochs=1, accumulation_steps=1, before=(), **kwargs):
        """Train on the stock trainer; returns it and the handler."""
        handler = GradPromHandler(self.tasks, rule, **kwargs)
        trainer = SupervisedTrainer(
            device="cpu", max_epochs=epochs, train_data_loader=data, network=self.network, optimizer=self.optimizer,
            loss_function=nn.MSELoss(), decollate=False, train_handlers=[*before, handler],
            accumulation_steps=accumulation_steps,
        )
        trainer.run()
        return trainer, handler

    def weights(self) -> torch.Tensor:
        modules = [self.network, *(task.network for task in self.tasks)]
        return torch.cat([p.detach().reshape(-1).double() for m in modules for p in m.parameters()])


def naive_loss(task: RecognitionTask, network: nn.Module, target: nn.Module, images, clean, batch):
    logits = network(images)
    if task.label_key is None:
        return ((logits.softmax(1) - target(clean).detach().softmax(1)) ** 2).mean()
    if task.label_key == "class":
        return F.cross_entropy(logits, batch["class"])
    return DiceCELoss(to_onehot_y=True, softmax=True)(logits, batch["mask"])


def naive_training(system: System, data: list[dict], strategy: str, accumulation_steps: int = 1) -> list[list[float]]:
    """Train ``system`` in place, one epoch, SGD by hand; returns the cosines of every step."""
    theta = list(system.network.parameters())
    targets = [copy.deepcopy(task.network) for task in system.tasks]
    cosines = []
    for start in range(0, len(data), accumulation_steps):
        window = data[start : start + accumulation_steps]
        g_ip = [torch.zeros_like(p) for p in theta]
        g_vr = [[torch.zeros_like(p) for p in theta] for _ in system.tasks]
        g_phi = [[torch.zeros_like(p) for p in task.network.parameters()] for task in system.tasks]
        for batch in window:
            loss = F.mse_loss(system.network(batch["image"]), batch["label"])
            for total, g in zip(g_ip, torch.autograd.grad(loss, theta), strict=True):
                total += g / accumulation_steps
            for k, task in enumerate(system.tasks):
                phi = list(task.network.parameters())
                for wanted, totals in ((theta, g_vr[k]), (phi, g_phi[k])):
                    images = system.network(batch["image"])
                    loss = naive_loss(task, task.network, targets[k], images, batch["label"], batch)
                    for total, g in zip(totals, torch.autograd.grad(loss, wanted), strict=True):
                        total += g / accumulation_steps
        flat = torch.cat([g.reshape(-1) for g in g_ip])
        direction, step = flat.clone(), []
        for k, task in enumerate(system.tasks):
            other = torch.cat([g.reshape(-1) for g in g_vr[k]])
            s = float(flat @ other / flat.norm() / other.norm())
            step.append(s)
            factor = {"gradprom": float(s >= 0), "gradprom_cosine": max(0.0, s), "none": 0.0}.get(strategy, 1.0)
            direction += task.weight * factor * other
        cosines.append(step)
        with torch.no_grad():
            for p, g in zip(theta, direction.split([p.numel() for p in theta]), strict=True):
                p -= RATE * g.view_as(p)
            if strategy not in ("frozen", "none"):
                for k, task in enumerate(system.tasks):
                    for p, g in zip(task.network.parameters(), g_phi[k], strict=True):
                        p -= RATE * g
    return cosines
