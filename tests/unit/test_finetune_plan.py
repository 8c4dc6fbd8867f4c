"""Plans against the networks and the code that they are of."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.lessons import folder_of_halves, lesson_on
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.backbones import open_backbone
from pixelwise.classnames import ClassNames
from pixelwise.config import FinetuneConfig
from pixelwise.cost import Counting, trace
from pixelwise.data import LabelledPhoto
from pixelwise.features import FeatureCache
from pixelwise.finetune.calibrate import Stepping, Task, TimedViews, Timings
from pixelwise.finetune.last_layer import Look, folds_of, learn_exactly
from pixelwise.finetune.lesson import Lesson
from pixelwise.finetune.plan import ADAM, CACHED, UNCACHED, plan_lesson, plan_tasks
from pixelwise.finetune.policies import Learner, learned_names, names_in_learner
from pixelwise.head import Weights
from pixelwise.photos.view import WHOLE

CPU = torch.device("cpu")
PHOTO = LabelledPhoto(Path("photo.jpg"), Path("photo.png"), lambda: np.zeros((90, 60), np.uint8))
SIZES = (32, 64)
NUM_CLASSES = 3
D = len(SIZES) * (6 + 9)


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture
def task(backbone):
    lesson = Lesson(
        config=FinetuneConfig(source="folder:photos", sizes=SIZES),
        classes=ClassNames(("background", "red", "blue")),
        shots=(PHOTO,) * 4,
        backbone=backbone,
        sizes=SIZES,
        cache=FeatureCache(Path("nowhere")),
        device=CPU,
    )
    return Task(
        lesson=lesson,
        views=((WHOLE,) * 3,) * 4,
        scored=(PHOTO,) * 5,
        precision="fp32",
        shape=(90, 60),
        fullest=2,
    )


def configured(task, **options):
    """The same task with other options."""
    config = dataclasses.replace(task.lesson.config, **options)
    return dataclasses.replace(task, lesson=dataclasses.replace(task.lesson, config=config))


def every(task):
    """The task under each policy; two photos more to stop by, where learning has to be stopped."""
    tasks = {UNCACHED: task, CACHED: task}
    for policy in ("stage", "full"):
        thawed = configured(task, policy=policy, epochs=2, batch_size=2)
        lesson = dataclasses.replace(thawed.lesson, watched=(PHOTO,) * 2)
        tasks[policy] = dataclasses.replace(thawed, lesson=lesson)
    return tasks


TIMINGS = Timings(
    num_timed=2,
    held_bytes=1000,
    looked_bytes=3000,
    look_s=0.5,
    whole_s=0.25,
    found_s=0.001,
    gather_s=0.01,
    pixels_a_look=40.0,
    photo_s=0.0,
    score_s=0.02,
    moments_s=0.1,
    setup_s=0.03,
    pixel_s=1e-6,
    certify_s=0.2,
)
STEPPING = Stepping(
    optimisers_s=1.5,
    optimisers_bytes=500,
    views={
        policy: TimedViews(seconds, 0) for policy, seconds in (("stage", 0.3), ("full", 0.7), (ADAM, 0.1))
    },
)
NO_STEPS = Stepping(optimisers_s=0.0, optimisers_bytes=0, views={})


@pytest.fixture
def costs(task):
    return plan_tasks(every(task), TIMINGS, STEPPING, started_s=2.0)


def conv_flops(num_in, num_out, height, width):
    return 2 * num_in * num_out * 9 * height * width


def look_flops(height, width):
    """The tiny backbone's three layers, each of half the height and width of the one before."""
    layers = ((3, 5), (5, 6), (6, 9))
    return sum(conv_flops(*layer, height >> n, width >> n) for n, layer in enumerate(layers, 1))


READINGS = ((48, 32), (96, 64))
LOOK = sum(look_flops(*reading) for reading in READINGS)


def test_each_look_is_counted_by_hand(costs):
    cached, uncached = costs[CACHED], costs[UNCACHED]
    assert uncached.flops - cached.flops == (4 * 3 + 5) * LOOK


def test_looks_that_compute_count_as_much_as_looks_without_content(task, costs):
    alone = plan_tasks({UNCACHED: task}, TIMINGS, NO_STEPS, started_s=2.0)[UNCACHED]
    assert alone == costs[UNCACHED]


def test_the_last_layer_learns_as_many_numbers_as_its_head_has(costs):
    head = Weights(torch.zeros(NUM_CLASSES, D), torch.zeros(NUM_CLASSES))
    assert costs[UNCACHED].num_learned == costs[CACHED].num_learned == head.num_learned


def test_thawed_policies_learn_the_head_and_their_part_of_the_backbone(costs, backbone):
    head = NUM_CLASSES * (D + 1)
    last = sum(one.numel() for one in backbone.net.layers[2].parameters())
    every = sum(one.numel() for one in backbone.parameters())
    assert costs["stage"].num_learned == head + last
    assert costs["full"].num_learned == head + every


def test_learning_everything_goes_there_and_back(costs, task, backbone):
    """Each layer three times, but for the first, whose input asks for nothing; the head likewise, thrice."""
    first = sum(conv_flops(3, 5, height // 2, width // 2) for height, width in READINGS)
    head = sum(2 * NUM_CLASSES * (6 * h * w // 16 + 9 * h * w // 64) for h, w in READINGS)
    steps = 2 * 4 * (3 * LOOK - first + 3 * head)
    looked_later = 5 + (2 + 1) * 2  # photos scored again, and watched before and after each epoch
    assert costs["full"].flops == costs[UNCACHED].flops + steps + looked_later * LOOK


def test_adams_last_layer_goes_back_no_further_than_the_head(task):
    """It looks for each step and to score, and solves nothing."""
    by_adam = configured(task, solver="adam", epochs=3, batch_size=2)
    cost = plan_tasks({ADAM: by_adam}, TIMINGS, STEPPING)[ADAM]
    head = sum(2 * NUM_CLASSES * (6 * h * w // 16 + 9 * h * w // 64) for h, w in READINGS)
    assert cost.flops == 3 * 4 * (LOOK + 2 * head) + 5 * LOOK
    assert cost.num_learned == NUM_CLASSES * (D + 1)
    assert seconds(cost)["learning"] == pytest.approx(3 * 4 * 0.1)


def seconds(cost):
    return {part.name: part.amount for part in cost.seconds_by}


def test_a_thawed_policy_takes_the_exact_start_its_steps_and_the_photos_it_stops_by(costs):
    exact, thawed = seconds(costs[UNCACHED]), seconds(costs["stage"])
    assert {name: thawed[name] for name in exact} == exact
    assert thawed["optimisers"] == 1.5
    assert thawed["learning"] == pytest.approx(2 * 4 * 0.3)
    assert thawed["stopping"] == pytest.approx((2 + 1) * 2 * (0.25 + 0.01))
    assert thawed["scoring again"] == pytest.approx(5 * (0.25 + 0.01))


def test_a_process_that_grew_by_more_than_its_tensors_is_believed(task):
    tasks = {"full": every(task)["full"]}
    grown = dataclasses.replace(STEPPING, views={"full": TimedViews(0.7, 10**9)})
    cost = plan_tasks(tasks, TIMINGS, grown)["full"]
    assert sum(part.amount for part in cost.bytes_by[-2:]) == 10**9
    doubled = plan_tasks({"full": tasks["full"].doubled()}, TIMINGS, grown, of=tasks)["full"]
    assert sum(part.amount for part in doubled.bytes_by[-2:]) == 4 * 10**9


def test_only_looks_that_the_cache_has_not_are_looked_at(task):
    some = plan_tasks({UNCACHED: task}, TIMINGS, NO_STEPS, missing=(3, 1))[UNCACHED]
    assert seconds(some)["looking"] == pytest.approx(3 * 0.5 + 0.25)
    assert seconds(some)["features found"] == pytest.approx((9 + 4) * 0.001)
    none = plan_tasks({CACHED: task}, TIMINGS, NO_STEPS, missing=(0, 0))[CACHED]
    assert some.flops - none.flops == 4 * LOOK


def test_seconds_are_timings_times_how_often(costs):
    start, found_or_looked = costs[UNCACHED].seconds_by[:2]
    assert (start.amount, found_or_looked.amount) == (2.2, 12 * 0.5 + 5 * 0.25)
    assert costs[CACHED].seconds_by[1].amount == 17 * 0.001
    assert costs[UNCACHED].seconds_by[-1].amount == 5 * 0.02


def test_a_ridge_that_is_given_takes_no_time_to_choose(task):
    cost = plan_tasks({CACHED: configured(task, ridge=0.1)}, TIMINGS, NO_STEPS)[CACHED]
    assert "choosing the ridge" not in {part.name for part in cost.seconds_by}


def test_memory_before_looking_is_less(costs):
    assert costs[CACHED].bytes_by[0].amount == 1000
    assert costs[UNCACHED].bytes_by[0].amount == 3000


def test_twice_the_size_takes_four_times_the_looking(task, costs):
    tasks = every(task)
    doubled = {policy: one.doubled() for policy, one in tasks.items()}
    twice = plan_tasks(doubled, TIMINGS, STEPPING, started_s=2.0, of=tasks)
    looked = [one[UNCACHED].flops - one[CACHED].flops for one in (costs, twice)]
    assert looked[1] == 4 * looked[0]
    assert twice[UNCACHED].seconds_by[1].amount == 4 * costs[UNCACHED].seconds_by[1].amount
    activations = [one["full"].bytes_by[-1] for one in (costs, twice)]
    assert activations[1].amount > 3 * activations[0].amount


def test_pixels_take_the_memory_that_learning_takes(task, backbone):
    """What is held while a head is learned, followed tensor by tensor, is within 15 % of the plan."""
    generator = torch.Generator().manual_seed(0)
    num_features, side = 600, 60
    looks = [
        Look(
            number,
            [torch.randn(num_features, 8, 8, generator=generator)],
            torch.randint(2, (side, side), generator=generator, dtype=torch.uint8),
        )
        for number in range(2)
    ]
    with Counting() as counted:
        learn_exactly(lambda: looks, len(looks), 2)
    wide = tiny_backbone()
    wide.levels = (dataclasses.replace(wide.levels[0], channels=num_features),)
    lesson = dataclasses.replace(
        task.lesson,
        backbone=wide,
        sizes=(32,),
        classes=ClassNames(("background", "red")),
        shots=(PHOTO,) * 2,
    )
    one_size = dataclasses.replace(task, lesson=lesson, views=((WHOLE,),) * 2)
    timings = dataclasses.replace(TIMINGS, held_bytes=0, pixels_a_look=float(side**2))
    cost = plan_tasks({CACHED: one_size}, timings, NO_STEPS)[CACHED]
    planned = sum(part.amount for part in cost.bytes_by if part.name != "features")
    assert planned == pytest.approx(counted.peak_bytes, rel=0.15)


def test_features_that_are_there_make_no_look_cheap_that_is_taken_again(tmp_path):
    """Photos to stop by, and those scored by what has learned, are looked at whatever the cache has."""
    pause_s = 0.05
    folder = folder_of_halves(tmp_path / "halves", num=4)
    lesson = lesson_on(
        tiny_backbone(pause_s=pause_s), folder, sizes=SIZES, policy="stage", epochs=1, looks=1, ridge=0.1
    )
    photos = [one.photo for one in (*lesson.shots, *lesson.watched)]
    lesson.cache.maps(photos, lesson.backbone, lesson.sizes)
    cost = plan_lesson(lesson, lesson.watched, started_s=0).policies["stage"]
    assert "looking" not in seconds(cost)
    assert seconds(cost)["stopping"] > 2 * 2 * pause_s  # two photos, before and after the epoch
    assert seconds(cost)["scoring again"] > 2 * pause_s


@pytest.mark.parametrize(("num_photos", "folds"), [(1, (1, 0)), (2, (2, 2)), (5, (3, 3)), (12, (3, 1))])
def test_of_few_photos_each_third_is_left_out(num_photos, folds):
    assert folds_of(num_photos) == folds


def test_the_last_stage_is_what_only_the_last_level_needs():
    names = learned_names(open_backbone(), "stage")
    assert names
    assert all(name.startswith("net.stages.6.") for name in names)


def test_a_learner_gives_what_a_head_gives_on_the_same_maps(backbone):
    torch.manual_seed(0)
    learner = Learner(backbone, len(SIZES), NUM_CLASSES)
    readings = [torch.rand(1, 3, *reading) for reading in READINGS]
    weight = torch.cat([head.weight[..., 0, 0] for head in learner.heads], 1)
    head = Weights(weight.detach(), learner.bias.detach().flatten())
    maps = [one[0] for reading in readings for one in backbone(reading)]
    torch.testing.assert_close(learner(readings)[0].detach(), head.logits(maps, READINGS[1]))


def test_tracing_a_thawed_policy_leaves_the_backbone_frozen(task, backbone):
    learner = Learner(backbone, 1, NUM_CLASSES)
    learned = names_in_learner(backbone, "full", learner)
    trace(learner, lambda copied: copied([torch.zeros(1, 3, 32, 32)]).sum(), learned)
    assert not any(one.requires_grad or one.grad is not None for one in backbone.parameters())
