"""The order of examples and the noise: paired afresh each epoch, drawn afresh each step, from one seeded generator.

It is a CPU generator, drawn for the whole batch of all processes; each process takes its part. So N processes see
the numbers that one process would see with an N times larger batch, on any device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from trainer.dataset import Posteriors


class Cycle:
    """Items in a fresh random order each epoch, for ever; `state` is what is left of the present epoch."""

    def __init__(self, items: Sequence[int]) -> None:
        self.items, self.state = list(items), list[int]()

    def next(self, generator: Generator) -> int:
        """The next item of the epoch, or the first of a new one."""
        if not self.state:
            self.state = [
                self.items[index] for index in torch.randperm(len(self.items), generator=generator).tolist()
            ]
        return self.state.pop()


class Sampler:
    """Picks examples and crops: instance photos of all concepts in turn, each with a class image of its own concept.

    Both orders are shuffled anew each time round, independently, so the pairs differ from epoch to epoch. Batches are
    always full: an epoch that does not divide by the batch goes over into the next.
    """

    def __init__(
        self, concepts: Sequence[tuple[Sequence[int], Sequence[int]]], counts: Sequence[int]
    ) -> None:
        self.instances = Cycle([index for own, _ in concepts for index in own])
        self.classes = [Cycle(of_class) for _, of_class in concepts if of_class]
        self.concept_of = {index: number for number, (own, _) in enumerate(concepts) for index in own}
        self.counts = counts
        assert len(self.classes) in (0, len(concepts))

    def picks(self, batch: int, generator: Generator) -> list[list[tuple[int, int]]]:
        """[instance picks] or [instance picks, class picks], `batch` (example, crop) pairs each."""
        instances = [self.instances.next(generator) for _ in range(batch)]
        groups = [instances]
        if self.classes:
            groups.append([self.classes[self.concept_of[index]].next(generator) for index in instances])
        return [[(index, self._crop(index, generator)) for index in group] for group in groups]

    def _crop(self, index: int, generator: Generator) -> int:
        count = self.counts[index]
        return 0 if count == 1 else int(torch.randint(count, (), generator=generator))

    def state_dict(self) -> dict[str, Any]:
        """What is left of the present epochs."""
        return {
            "instances": list(self.instances.state),
            "classes": [list(cycle.state) for cycle in self.classes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the epochs of `state_dict`."""
        self.instances.state = list(state["instances"])
        for cycle, left in zip(self.classes, state["classes"], strict=True):
            cycle.state = list(left)


@dataclass(frozen=True)
class Draw:
    """The randomness of one batch: `posterior` and `noise` (G, B, C, h, w), `timesteps` (G, B) int64.

    G is 1, or 2 with prior preservation: instance, class.
    """

    posterior: Tensor
    noise: Tensor
    timesteps: Tensor

    def part(self, start: int, stop: int, device: torch.device) -> "Draw":
        """The examples of one process, instances before classes: (G * (stop - start), C, h, w), on `device`."""
        parts = (
            tensor[:, start:stop].flatten(0, 1) for tensor in (self.posterior, self.noise, self.timesteps)
        )
        return Draw(*(part.to(device, non_blocking=True) for part in parts))


DrawFunction = Callable[..., Draw]


def draw(generator: Generator, shape: tuple[int, ...], train_timesteps: int, *, offset_noise: bool) -> Draw:
    """A fresh `Draw` for latents of `shape` (G, B, C, h, w), from a CPU generator.

    Offset noise adds 0.1 of one normal number per example and channel, as diffusers' script does.
    """
    posterior = torch.randn(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    if offset_noise:
        noise = noise + 0.1 * torch.randn((*shape[:3], 1, 1), generator=generator)
    return Draw(posterior, noise, torch.randint(train_timesteps, shape[:2], generator=generator))


@dataclass(frozen=True)
class Batch:
    """One forward of one process: latents and noise (N, C, h, w), timesteps (N,), which example is whose (N,).

    Instance examples come first, then as many class examples with prior preservation. `examples` are indices; `wordings`
    choose among the ways to say what each shows: the timesteps, which are random already, known without asking the device.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    examples: list[int]
    wordings: list[int]
    is_prior: Tensor


class Batches:
    """An endless supply of batches; `state_dict` is all that it takes to go on with exactly the same ones."""

    def __init__(
        self,
        posteriors: Posteriors,
        sampler: Sampler,
        *,
        batch_size: int,
        rank: int,
        processes: int,
        train_timesteps: int,
        offset_noise: bool,
        seed: int,
        device: torch.device,
        draw: DrawFunction = draw,
    ) -> None:
        self.posteriors, self.sampler, self.draw, self.device = posteriors, sampler, draw, device
        self.whole, self.start, self.stop = batch_size * processes, batch_size * rank, batch_size * (rank + 1)
        self.train_timesteps, self.offset_noise = train_timesteps, offset_noise
        self.generator = Generator().manual_seed(seed)
        prior = [False] * batch_size + [True] * (batch_size if sampler.classes else 0)
        self.is_prior = torch.tensor(prior, device=device)

    def next(self) -> Batch:
        """The next batch of this process."""
        groups = self.sampler.picks(self.whole, self.generator)
        own = [pick for group in groups for pick in group[self.start : self.stop]]
        mean, std = self.posteriors.take(own)
        shape = (len(groups), self.whole, *mean.shape[1:])
        drawn = self.draw(self.generator, shape, self.train_timesteps, offset_noise=self.offset_noise)
        part = drawn.part(self.start, self.stop, self.device)
        assert part.posterior.shape == mean.shape == std.shape
        latents = mean + std * part.posterior
        wordings = drawn.timesteps[:, self.start : self.stop].flatten().tolist()
        examples = [example for example, _ in own]
        return Batch(latents, part.noise, part.timesteps, examples, wordings, self.is_prior)

    def state_dict(self) -> dict[str, Any]:
        """The generator and the epochs."""
        return {"generator": self.generator.get_state(), "sampler": self.sampler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.generator.set_state(state["generator"])
        self.sampler.load_state_dict(state["sampler"])
