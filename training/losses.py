"""Loss of a stack of slices: Dice, cross-entropy, and cross-entropy of the hardest voxels."""

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

# A clot is a few ten voxels of a slab of a hundred thousand: a larger share drowns it, and the
# network then settles on predicting nothing.
HARDEST_SHARE = 0.002
# Of the finest level and the coarser ones behind it.
LEVEL_WEIGHTS = (1.0, 0.5, 0.25)


class SegmentationLoss:
    """Per-sample soft Dice + 0.5 BCE + 0.5 BCE of the hardest voxels, on several levels.

    Deep supervision: coarser logits are compared with the target pooled by its maximum, so that a
    small clot does not vanish.
    """

    def __init__(self) -> None:
        # Smoothing by one voxel gives an empty target a Dice term that punishes false alarms.
        self._dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)

    def __call__(self, logits: list[Tensor], target: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Parameters
        ----------
        logits : list of Tensor (batch, slice, row, column)
            Finest first; each level halves rows and columns.
        target : Tensor (batch, slice, row, column)
            0 or 1, as fine as the first logits.
        """
        total = torch.zeros((), device=target.device)
        weights = LEVEL_WEIGHTS[: len(logits)]
        for level, weight in zip(logits, weights, strict=True):
            total = total + weight * self.single(level, target)
            target = functional.max_pool2d(target, 2)
        return total / sum(weights)

    def single(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one level."""
        dice: Tensor = self._dice(logits[:, None], target[:, None])
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        per_sample = entropy.flatten(1)
        count = max(1, int(HARDEST_SHARE * per_sample.shape[1]))
        hardest = per_sample.topk(count, dim=1).values.mean()
        return dice + 0.5 * per_sample.mean() + 0.5 * hardest
