"""Guided back-propagation: which pixels of an image a network's answer grows with."""

from __future__ import annotations

import copy
from collections.abc import Callable

from monai.visualize import VanillaGrad
from torch import Tensor, nn

from shared.errors import InputError
from shared.recognition import RecognitionTask

RECTIFIERS = (nn.ReLU, nn.PReLU, nn.LeakyReLU)


def guided_gradient(network: nn.Module, score: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Return the guided gradient of a scalar of a network's output at an image (Springenberg et al. 2015).

    What :class:`monai.visualize.GuidedBackpropGrad` does, which could not be used as it is:

    - It replaces sub-modules by "relu" in their names. MONAI's own ResNets call theirs ``act`` and FlexibleUNet
      ``adn.A``: none is found, and what comes back without a word is the plain gradient. A module called ``prelu``
      would become a ReLU.
    - It has no rule for PReLU and LeakyReLU (SR-ResNet, MONAI's UNet). The rule here, the derivative of the
      activation times the positive part of the gradient from above, is MONAI's where the slope below zero is 0.
    - It explains one class of a classifier. A scalar of any output (a segmentation, an image) is handed over as the
      only class.

    So rectifiers are told by their type and guided by a hook, under its base class :class:`VanillaGrad`; where
    MONAI's class finds all rectifiers the results are the same.

    Other activations keep their own derivative, as there. The network is copied: weights, mode and ``.grad`` stay.

    Args:
        network: maps images [1, C, H, W] to anything; used in evaluation mode.
        score: the scalar that is explained, from the network's output.
        image: [C, H, W].

    Returns:
        [C, H, W], on the CPU.

    Raises:
        InputError: when the network has no rectifier that could guide.
    """
    explained = _Explained(copy.deepcopy(network), score).eval().requires_grad_(True)
    rectifiers = [module for module in explained.modules() if isinstance(module, RECTIFIERS)]
    if not rectifiers:
        raise InputError(
            f"guided back-propagation needs a network with ReLU, PReLU or LeakyReLU modules, found none in "
            f"{type(network).__name__}"
        )
    for module in rectifiers:
        module.register_forward_hook(_keep_positive_gradient)
    # MONAI sets requires_grad on the image it is given, and adds to its .grad.
    own = image.detach().clone()[None].to(next(network.parameters()).device)
    return VanillaGrad(explained)(own, index=0)[0].cpu()


def diagnosis_score(logits: Tensor) -> Tensor:
    """Return the largest logit of [1, K]: the class that the network answers."""
    return logits.max()


def segmentation_score(logits: Tensor) -> Tensor:
    """Return the sum of foreground logits over the pixels that the network calls foreground, of [1, K, H, W].

    The counterpart of a classifier's largest logit. Where nothing is called foreground, the sum over all pixels: what
    would have to grow for something to be found.
    """
    foreground = logits[:, 1:].amax(dim=1)
    inside = logits.argmax(dim=1) > 0
    return foreground[inside].sum() if bool(inside.any()) else foreground.sum()


def explain_enhancement(network: nn.Module, image: Tensor, clean: Tensor) -> Tensor:
    """Return the guided gradient of L_IP, the mean squared error of IP's answer, at a degraded image.

    The paper does not say which scalar of an image it explains. The sum of the enhanced intensities would be the
    counterpart of a logit, but its gradient is near 1 at every pixel: a network that adds a correction to its input
    (SR-ResNet for denoising) hands each intensity on. L_IP tells which pixels the enhancement depends on; what is
    compared is their pattern, since its size falls with the error.

    Args:
        network: IP.
        image: degraded, [C, h, w].
        clean: the target, [C, H, W].
    """
    target = clean[None]
    return guided_gradient(network, lambda images: nn.functional.mse_loss(images, target.to(images.device)), image)


def explain_recognition(task: RecognitionTask, image: Tensor) -> Tensor:
    """Return the guided gradient of VR's answer at an image [C, H, W], for a diagnosis or a segmentation.

    See :func:`diagnosis_score` and :func:`segmentation_score`.
    """
    return guided_gradient(_Predicting(task), _recognition_score, image)


def _recognition_score(logits: Tensor) -> Tensor:
    return diagnosis_score(logits) if logits.ndim == 2 else segmentation_score(logits)


class _Explained(nn.Module):
    """A network whose only class is a scalar of its output."""

    def __init__(self, network: nn.Module, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.score = score

    def forward(self, images: Tensor) -> Tensor:
        """Return the scalar as logits [1, 1]."""
        return self.score(self.network(images)).reshape(1, 1)


class _Predicting(nn.Module):
    """A recognition task as a module: its network with the padding the task adds."""

    def __init__(self, task: RecognitionTask) -> None:
        super().__init__()
        self.network = task.network
        # A deep copy of this module copies the network once, so that both names go on meaning the same.
        self.task = copy.copy(task)
        self.task.optimizer = self.task.target_network = None

    def forward(self, images: Tensor) -> Tensor:
        """Return the task's logits."""
        return self.task.predict(images)


def _keep_positive_gradient(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    output.register_hook(lambda gradient: gradient.clamp(min=0))
