"""What can go wrong in a training, and what is said of it."""

import resource
from dataclasses import replace

import pytest

from harmonize_composite.files.training_images import PictureError
from harmonize_composite.training.data.pairs import open_source
from harmonize_composite.training.loop import train as loop
from harmonize_composite.training.loop.objective import training_loss
from harmonize_composite.training.loop.train import TrainingError, train
from harmonize_composite.weights import load_network
from runs import checkpoint, write_small_photographs


@pytest.fixture
def spoiled(monkeypatch):
    """Makes the loss NaN in some steps."""

    def spoil(steps):
        calls = iter(range(10**6))

        def loss(*arguments):
            good = training_loss(*arguments)
            return good * float("nan") if next(calls) in steps else good

        monkeypatch.setattr(loop, "training_loss", loss)

    return spoil


def test_a_step_whose_gradient_is_not_finite_is_left_out(small, spoiled, tmp_path, caplog):
    spoiled({4})
    assert train(small, tmp_path / "run")
    progress, parts = checkpoint(tmp_path / "run")
    assert progress.skipped == 1 and progress.step == 12
    assert all(value.isfinite().all() for value in parts["network"].values())
    assert "Step 5 left out" in caplog.text


def test_a_loss_that_stays_nan_ends_the_run_and_the_last_good_checkpoint_is_intact(small, spoiled, tmp_path):
    spoiled(range(4, 100))
    with pytest.raises(TrainingError, match="10 steps in a row .* the checkpoint is intact: .*checkpoint.pt"):
        train(replace(small, steps=40), tmp_path / "run")
    _, parts = checkpoint(tmp_path / "run")
    assert all(value.isfinite().all() for value in parts["network"].values())
    load_network(tmp_path / "run" / "weights.safetensors")  # refuses what is not finite


def test_weights_that_are_not_finite_are_never_written(small, tmp_path):
    train(replace(small, steps=3, checkpoint_every=3), tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match="not finite|no longer finite"):
        train(replace(small, learning_rate=1e38, checkpoint_every=1), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_intact(small, tmp_path):
    folder = tmp_path / "run"
    train(replace(small, steps=3, validation_pairs=0), folder)
    before = (folder / "checkpoint.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # the system refuses the second half
    try:
        with pytest.raises(OSError, match="ends at step 6: .*/run cannot be written .* the checkpoint is intact"):
            train(replace(small, validation_pairs=0), folder, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not list(folder.glob(".*"))


def cut_short(path):
    path.write_bytes(path.read_bytes()[:200])


def test_a_corrupt_picture_is_skipped_and_named(small, tmp_path, caplog):
    root = write_small_photographs(tmp_path / "photos")
    held_out = {path.name for path in open_source(root, "val").pictures}
    broken = next(path for path in sorted((root / "images").iterdir()) if path.name not in held_out)
    cut_short(broken)
    assert train(replace(small, data=str(root)), tmp_path / "run")
    assert f"Skipped: {broken}" in caplog.text
    assert checkpoint(tmp_path / "run")[0].step == 12


def test_a_corrupt_validation_picture_is_named_before_training_begins(small, tmp_path):
    root = write_small_photographs(tmp_path / "photos")
    for path in open_source(root, "val").pictures:
        cut_short(path)
    with pytest.raises(PictureError, match="photos/images/shot_.*(damaged|not a picture)"):
        train(replace(small, data=str(root)), tmp_path / "run")


def test_too_few_photographs_to_validate_on_are_told_with_what_to_do(small, tmp_path):
    root = write_small_photographs(tmp_path / "photos")
    for path in sorted((root / "images").iterdir())[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="set validation_pairs=0"):
        train(replace(small, data=str(root)), tmp_path / "run")
    assert train(replace(small, data=str(root), validation_pairs=0, steps=2), tmp_path / "run")
