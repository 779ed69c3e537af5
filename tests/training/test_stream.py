"""The stream of samples and its batches."""

import logging

import numpy as np
import pytest
import torch

from harmonize_composite.files.training_images import PictureError
from harmonize_composite.training.data.pairs import Stream, collate
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.sample import Sample
from photographs import assert_same, broken


def test_every_pass_visits_each_picture_once_in_another_order():
    class Source:
        def __len__(self):
            return 10

        def sample(self, index, rng, size):
            return index

    stream = Stream(Source(), seed=1)
    passes = [[stream[10 * epoch + i, 32] for i in range(10)] for epoch in range(4)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4


def test_the_stream_can_be_read_from_anywhere(photos):
    stream, other = (Stream(Photographs(photos), seed=4) for _ in range(2))
    forwards = [stream[position, 24] for position in range(25)]
    backwards = [other[position, 24] for position in reversed(range(25))][::-1]
    for pair, again in zip(forwards, backwards, strict=True):
        assert_same(pair, again)
    changed = Stream(Photographs(photos), seed=5)
    assert any(not np.array_equal(pair.composite, changed[i, 24].composite) for i, pair in enumerate(forwards))


def test_a_broken_picture_is_skipped_and_reported_once(photos, caplog):
    source = Photographs(photos)
    path = source.pictures[source.with_masks[0]]
    broken(path)
    stream = Stream(source)
    with caplog.at_level(logging.WARNING):
        pairs = [stream[position, 24] for position in range(5 * len(source))]
    assert all(pair.real.shape == (24, 24, 3) for pair in pairs)
    skipped = [record for record in caplog.messages if record.startswith("Skipped")]
    assert len(skipped) == 1 and path.name in skipped[0]


def test_pictures_that_are_all_broken_end_the_stream(photos):
    for path in (photos / "images").iterdir():
        broken(path)
    with pytest.raises(PictureError):
        Stream(Photographs(photos))[0, 24]


def test_a_batch_holds_pictures_in_minus_one_to_one_and_masks_in_zero_to_one():
    rng = np.random.default_rng(0)
    pairs = [
        Sample(
            composite=rng.integers(0, 256, (6, 5, 3), np.uint8),
            mask=rng.integers(0, 256, (6, 5), np.uint8),
            real=rng.integers(0, 256, (6, 5, 3), np.uint8),
        )
        for _ in range(3)
    ]
    pairs[0].real[0, 0] = (0, 255, 51)
    pairs[0].mask[0, 0] = 255
    batch = collate(pairs)
    assert batch.composite.shape == batch.real.shape == (3, 3, 6, 5)
    assert batch.mask.shape == (3, 1, 6, 5)
    assert all(tensor.dtype == torch.float32 for tensor in batch)
    assert batch.real[0, :, 0, 0].tolist() == pytest.approx([-1, 1, -0.6])
    assert batch.mask[0, 0, 0, 0] == 1


def test_worker_processes_give_the_same_pairs(photos):
    stream = Stream(Photographs(photos), seed=2)
    loader = torch.utils.data.DataLoader(
        stream,
        sampler=[(position, 24) for position in range(12)],
        batch_size=4,
        num_workers=2,
        collate_fn=collate,
    )
    composites = torch.cat([batch.composite for batch in loader])
    here = collate([stream[position, 24] for position in range(12)]).composite
    assert torch.equal(composites, here)
