"""Order and noise: every example equally often, fresh each time, the same for one process or two."""

from collections import Counter

import pytest
import torch
from torch import Generator, Tensor

from trainer import batches


class FixedPosteriors:
    """Latents that tell which example and crop they are: mean 10 * example + crop, std 1."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def take(self, picks: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        means = torch.tensor([10.0 * example + crop for example, crop in picks])
        return means.reshape(-1, 1, 1, 1).expand(-1, 2, 3, 3), torch.ones(len(picks), 2, 3, 3)


def supply(
    concepts: list[tuple[list[int], list[int]]],
    counts: list[int] | None = None,
    *,
    batch_size: int = 1,
    rank: int = 0,
    processes: int = 1,
    offset_noise: bool = False,
) -> batches.Batches:
    size = sum(len(own) + len(of_class) for own, of_class in concepts)
    posteriors = FixedPosteriors(counts or [1] * size)
    return batches.Batches(
        posteriors,
        batches.Sampler(concepts, posteriors.counts),
        batch_size=batch_size,
        rank=rank,
        processes=processes,
        train_timesteps=1000,
        offset_noise=offset_noise,
        seed=3,
        device=torch.device("cpu"),
    )


def test_cycle_gives_every_item_once_an_epoch_in_new_orders() -> None:
    cycle, generator = batches.Cycle(range(8)), Generator().manual_seed(0)
    epochs = [[cycle.next(generator) for _ in range(8)] for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(8))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_instance_and_class_are_paired_afresh() -> None:
    own = supply([([0, 1, 2], [3, 4, 5, 6])])
    pairs = [tuple(own.next().examples) for _ in range(120)]
    assert Counter(instance for instance, _ in pairs) == {0: 40, 1: 40, 2: 40}
    assert Counter(of_class for _, of_class in pairs) == {3: 30, 4: 30, 5: 30, 6: 30}
    assert len(set(pairs)) == 12


def test_single_photo_and_odd_counts_fill_every_batch() -> None:
    own = supply([([0], [1, 2])], batch_size=3)
    batch = own.next()
    assert batch.examples[:3] == [0, 0, 0]
    assert set(batch.examples[3:]) == {1, 2}
    assert batch.is_prior.tolist() == [False, False, False, True, True, True]
    assert batch.latents.shape == (6, 2, 3, 3)


def test_each_concept_meets_its_own_class() -> None:
    own = supply([([0, 1], [2]), ([3], [4, 5])])
    pairs = [tuple(own.next().examples) for _ in range(60)]
    assert {of_class for instance, of_class in pairs if instance in (0, 1)} == {2}
    assert {of_class for instance, of_class in pairs if instance == 3} == {4, 5}


def test_latents_noise_and_timesteps_are_drawn_afresh() -> None:
    own = supply([([0], [])])
    first, second = own.next(), own.next()
    assert not torch.equal(first.latents, second.latents)
    assert not torch.equal(first.noise, second.noise)
    many = torch.cat([own.next().latents.flatten() for _ in range(400)])
    assert many.mean().abs() < 0.05
    assert abs(many.std().item() - 1) < 0.05
    timesteps = torch.cat([own.next().timesteps for _ in range(400)])
    assert timesteps.min() >= 0
    assert timesteps.max() <= 999
    assert len(timesteps.unique()) > 250


def test_crops_are_all_used() -> None:
    own = supply([([0], [])], counts=[4])
    picks = [own.sampler.picks(1, own.generator)[0][0] for _ in range(80)]
    assert set(picks) == {(0, crop) for crop in range(4)}


def test_offset_noise_shifts_whole_channels() -> None:
    plain = batches.draw(Generator().manual_seed(0), (1, 4, 2, 3, 3), 1000, offset_noise=False)
    offset = batches.draw(Generator().manual_seed(0), (1, 4, 2, 3, 3), 1000, offset_noise=True)
    shift = offset.noise - plain.noise
    torch.testing.assert_close(shift, shift.mean((3, 4), keepdim=True).expand_as(shift), atol=1e-6, rtol=0)
    assert 0.03 < shift.std() < 0.3
    assert torch.equal(plain.posterior, offset.posterior)


@pytest.mark.parametrize("concepts", [[([0, 1, 2], [3, 4])], [([0, 1, 2], [])]])
def test_two_processes_see_what_one_sees_with_twice_the_batch(
    concepts: list[tuple[list[int], list[int]]],
) -> None:
    one = supply(concepts, batch_size=2)
    both = [supply(concepts, batch_size=1, rank=rank, processes=2) for rank in range(2)]
    for _ in range(5):
        whole, parts = one.next(), [part.next() for part in both]
        order = [0, 2, 1, 3] if concepts[0][1] else [0, 1]  # instances of both, then classes of both
        for name in ("latents", "noise", "timesteps"):
            joined = torch.cat([getattr(part, name) for part in parts])
            torch.testing.assert_close(joined[order], getattr(whole, name), rtol=0, atol=0)


def test_state_goes_on_in_the_middle_of_an_epoch() -> None:
    straight, cut = supply([([0, 1, 2], [3, 4])]), supply([([0, 1, 2], [3, 4])])
    for _ in range(4):
        straight.next()
        cut.next()
    resumed = supply([([0, 1, 2], [3, 4])])
    resumed.load_state_dict(cut.state_dict())
    for _ in range(7):
        wanted, found = straight.next(), resumed.next()
        assert wanted.examples == found.examples
        assert torch.equal(wanted.latents, found.latents)
        assert torch.equal(wanted.timesteps, found.timesteps)
