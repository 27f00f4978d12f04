"""Training on every core: one copy of the model a core over the same weights, each with its share of the batch.

Operators on features as small as ours leave the second core idle half of the time; two copies do not."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn


def workers(count: int, device: str) -> int:
    """Into how many equal shares a batch of `count` goes, one a thread at most; a GPU takes it whole."""
    threads = torch.get_num_threads() if device == "cpu" else 1
    return max(number for number in range(1, threads + 1) if count % number == 0)


class Replicas:
    """The model and `count - 1` copies that share its weights and have gradients of their own."""

    def __init__(self, model: nn.Module, count: int) -> None:
        self.models = [model, *(copy.deepcopy(model) for _ in range(count - 1))]
        for replica in self.models[1:]:
            for shared, own in zip(model.parameters(), replica.parameters(), strict=True):
                own.data = shared.data
        self.pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, loss: Callable[[nn.Module, Any], Tensor], shares: Sequence[Any]) -> float:
        """The model's gradients of the mean loss over as many shares as replicas; returns that mean."""

        def one(model: nn.Module, share: Any) -> float:
            model.zero_grad()
            value = loss(model, share) / len(shares)
            value.backward()
            return value.item()

        total = sum(self.pool.map(one, self.models, shares))
        gradients = [[p.grad for p in model.parameters() if p.requires_grad] for model in self.models]
        for others in gradients[1:]:
            torch._foreach_add_(gradients[0], others)
        return total
