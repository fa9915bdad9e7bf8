"""Where a training runs: one process, or several that torchrun has started, with or without GPUs.

``torchrun --nproc-per-node 4 -m training.train CONFIG`` trains on four GPUs of a machine: every
process draws slabs of its own and the gradients are averaged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Place:
    """One process of a training.

    Attributes
    ----------
    rank, processes : int
        Which of how many.
    device : torch.device
        Where its network is.
    """

    rank: int
    processes: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network with its gradients averaged over all processes."""
        if self.processes == 1:
            return network
        return DistributedDataParallel(network)


ALONE = Place(0, 1, torch.device("cpu"))


@contextmanager
def find_place() -> Iterator[Place]:
    """Join the other processes, if torchrun has started several, and leave them in the end."""
    gpus = torch.cuda.is_available()
    if not dist.is_torchelastic_launched():
        yield Place(0, 1, torch.device("cuda" if gpus else "cpu"))
        return
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        local = dist.get_node_local_rank()
        device = torch.device("cuda", local) if gpus else torch.device("cpu")
        if gpus:
            torch.cuda.set_device(device)
        yield Place(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
