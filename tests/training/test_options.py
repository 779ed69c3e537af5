"""The options of a training run, and the schedule that follows from them."""

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonize_composite.training.loop.options import CONFIGS, Options, Stage, describe, load_options, to_toml
from harmonize_composite.training.loop.schedule import Schedule

PAIRS = 65_742  # iHarmony4's training split


def test_the_shipped_configurations_are_paper_ours_and_gpu():
    assert {path.stem for path in CONFIGS.glob("*.toml")} == {"paper", "ours", "gpu"}


def test_the_paper_trains_hdnet_for_120_epochs_without_augmentation():
    paper = load_options("paper")
    assert (paper.network, paper.init, paper.learning_rate, paper.beta1, paper.beta2) == (
        "hdnet", "normal", 1e-3, 0.9, 0.999
    )  # fmt: skip
    assert [(stage.size, stage.batch) for stage in paper.stages] == [((256,), 12)]
    augmentation = paper.crop, paper.flip, paper.mask_jitter, paper.loose_region, paper.soft_edge, paper.jpeg
    assert not any((*augmentation, paper.clean_rim)) and paper.ema == 0
    schedule = Schedule(paper, PAIRS)
    assert schedule.steps == 120 * PAIRS / 12


@pytest.mark.parametrize(("epoch", "rate"), [(0, 1e-3), (99.99, 1e-3), (100.01, 1e-4), (109.99, 1e-4), (110.01, 1e-5)])
def test_the_papers_learning_rate_falls_to_a_tenth_at_epochs_100_and_110(epoch, rate):
    schedule = Schedule(load_options("paper"), PAIRS)
    assert schedule.learning_rate(round(epoch * PAIRS / 12)) == pytest.approx(rate)


def test_our_recipe_trains_small_first_and_256_last():
    schedule = Schedule(load_options("ours", ["steps=1000"]), PAIRS)
    assert [schedule.size(step) for step in (0, 649, 650, 999)] == [128, 128, 256, 256]
    assert [schedule.stage(step).batch for step in (0, 999)] == [16, 8]
    assert schedule.learning_rate(0) == pytest.approx(1.2e-3 / 200)
    assert schedule.learning_rate(300) == pytest.approx(1.2e-3)
    assert schedule.learning_rate(700) == pytest.approx(1.2e-3 * 0.75 / 2)  # half way down the cosine
    assert schedule.learning_rate(999) < 1e-7


def test_a_stage_of_several_sizes_takes_them_in_turn():
    schedule = Schedule(Options(steps=10, stages=(Stage(size=(64, 96, 128), batch=2),)), 5)
    assert [schedule.size(step) for step in range(5)] == [64, 96, 128, 64, 96]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("lerning_rate", "learning_rate"), ("mask-jitter", "mask_jitter"), ("epoch", "epochs"), ("batch", "data")],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest_known_one(key, nearest):
    with pytest.raises(ValueError, match=f"'{key}'; did you mean '{nearest}'"):
        load_options("ours", [f"{key}=1"])


def test_an_unknown_key_of_a_stage_is_one_too(tmp_path):
    (tmp_path / "mine.toml").write_text("steps = 5\n[[stages]]\nsizes = 64\n")
    with pytest.raises(ValueError, match="'sizes'; did you mean 'size'"):
        load_options(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=1.5", "steps must be a whole number, not 1.5"),
        ("steps=-1", "steps must be at least 0, not -1"),
        ("flip=2", "flip must be in 0..1, not 2"),
        ("flip=often", "flip must be a number, not 'often'"),
        ("compile=1", "compile must be true or false, not 1"),
        ("precision=int8", "precision must be one of no, bf16, fp16, not 'int8'"),
        ("precision=16", "precision must be one of no, bf16, fp16, not 16"),
        ("data=16", "data must be text, not 16"),
        ("drops=[0.5, 2]", "drops must be in 0..1, not 2"),
        ("steps=1e999", "steps must be a whole number, not inf"),
        (f"steps={10**400}", "steps must not be as large as that"),
        (f"epochs={10**400}", "epochs must be at least 0, not inf"),
        ("stages=[]", "stages: give at least one"),
        ("stages=[256]", "stages must be a table"),
        ("stages=[{size=[]}]", "size must not be empty"),
        ("learning_rate=inf", "learning_rate must be at least 0, not inf"),
        ("learning_rate=nan", "learning_rate must be at least 0, not nan"),
        ("steps", "KEY=VALUE, not 'steps'"),
        ("steps=0", "either as steps or as epochs"),
    ],
)
def test_a_bad_value_is_told_in_one_sentence(override, message):
    with pytest.raises(ValueError) as error:
        load_options("ours", [override])
    assert message in str(error.value)


def test_an_unknown_configuration_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="'mine'; known: gpu, ours, paper"):
        load_options("mine")
    with pytest.raises(ValueError, match="there is no such file"):
        load_options(str(tmp_path / "mine.toml"))
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(ValueError, match="bad.toml: this is not valid TOML"):
        load_options(str(tmp_path / "bad.toml"))


def test_steps_given_on_the_command_line_replace_epochs_and_the_other_way_round():
    assert load_options("paper", ["steps=7"]).epochs == 0
    assert load_options("ours", ["epochs=2.5"]).steps == 0


def test_text_on_the_command_line_needs_no_quotes():
    options = load_options("ours", ["init=hub:someone/weights", 'data="a = b"'])
    assert (options.init, options.data) == ("hub:someone/weights", "a = b")


stages = st.builds(
    Stage,
    share=st.floats(0.01, 10),
    size=st.lists(st.integers(16, 512), min_size=1, max_size=3).map(tuple),
    batch=st.integers(1, 32),
    rate=st.floats(0, 2),
)


@given(
    stages=st.lists(stages, min_size=1, max_size=3).map(tuple),
    data=st.text(st.characters(exclude_categories=["Cs"])),
    rate=st.floats(0, 1e300),
    compile=st.booleans(),
)
def test_written_options_are_read_back_the_same(tmp_path_factory, stages, data, rate, compile):
    options = Options(steps=3, stages=stages, data=data, learning_rate=rate, compile=compile)
    path = tmp_path_factory.getbasetemp() / "options.toml"
    path.write_text(to_toml(options), encoding="utf-8")
    assert load_options(str(path)) == options


def test_every_option_is_described():
    text = describe()
    assert all(f"  {field.name} " in text for field in fields(Options))


@given(
    stages=st.lists(stages, min_size=1, max_size=3).map(tuple),
    steps=st.integers(1, 30),
    processes=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    begun=st.integers(0, 29),
)
def test_any_number_of_processes_sees_the_pictures_that_one_sees(stages, steps, processes, accumulate, begun):
    split = processes * accumulate
    stages = tuple(Stage(stage.share, stage.size, stage.batch * split, stage.rate) for stage in stages)
    alone = Schedule(Options(steps=steps, stages=stages), 10)
    shared = Schedule(Options(steps=steps, stages=stages, accumulate=accumulate), 10)
    wanted = [sorted(keys) for keys in alone.micro_batches(0, 0, 0, 1)]
    assert [position for keys in wanted for position, _ in keys] == list(range(sum(map(len, wanted))))

    begun = min(begun, steps)
    position = sum(map(len, wanted[:begun]))  # as after a resumption
    parts = [list(shared.micro_batches(begun, position, process, processes)) for process in range(processes)]
    seen = []
    for start in range(0, (steps - begun) * accumulate, accumulate):
        seen.append(sorted(key for own in parts for part in own[start : start + accumulate] for key in part))
    assert seen == wanted[begun:]


def test_a_batch_that_cannot_be_split_evenly_is_an_error():
    with pytest.raises(ValueError, match="batch of 12 cannot be split evenly over 5"):
        Schedule(Options(steps=1, stages=(Stage(),)), 10).check_split(5)


@given(steps=st.integers(1, 500), warmup=st.integers(0, 50), start=st.floats(0, 1))
def test_the_learning_rate_rises_once_and_falls_once(steps, warmup, start):
    options = Options(steps=steps, stages=(Stage(),), warmup_steps=warmup, cosine_from=start, learning_rate=1.0)
    rates = [Schedule(options, 10).learning_rate(step) for step in range(steps)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 <= rate <= 1 and math.isfinite(rate) for rate in rates)
