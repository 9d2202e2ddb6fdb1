"""What the AVA sample shows: actions that can be named, boxes that fit, and a class that needs the whole picture."""

import inspect
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from datamodules.samples.ava import generate
from datamodules.samples.ava_lists import ACTIONS
from datamodules.samples.campus import gait, gestures
from datamodules.samples.campus.acting import Act, Performer
from datamodules.samples.campus.action_recording import FIRST_SECOND, FPS, PROGRAMME, Settings, Video, cast
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.body import Look
from datamodules.samples.campus.film import Weather, shoot
from datamodules.samples.campus.sketches import SKETCHES, rehearse
from datamodules.samples.campus.stages import STAGES, visit
from datamodules.samples.campus.story import Role

SIZE = (64, 96)
SPLITS = ("train", "val")


def usual() -> Settings:
    defaults = inspect.signature(generate).parameters.items()
    return Settings(**{name: value.default for name, value in defaults if name != "folder"})


def played(settings: Settings) -> list[tuple[Video, list[Performer]]]:
    return [(video, cast(video, settings)[0]) for video in settings.videos()]


# What is drawn --------------------------------------------------------------------------------------------------------


def film(people: list[Performer], stage: int, seconds: float, size: tuple[int, int] = SIZE) -> list:
    place, backdrop = visit(stage, size, 0)
    rng = np.random.default_rng(1)
    roles, weather = [Role(person) for person in people], Weather.draw(rng)
    return list(shoot(place, backdrop, roles, weather, rng, num_frames=int(seconds * FPS), fps=FPS))


def test_boxes_lie_where_the_person_changes_the_picture():
    people = rehearse("exercise", 4, np.random.default_rng(0))
    whole, without = film(people, 2, 4), film(people[1:], 2, 4)
    shares, stray = [], []
    for shot, other in zip(whole, without, strict=True):
        (x1, y1, x2, y2), *_ = [sighting.box for sighting in shot.sightings if sighting.actor == 0]
        difference, inside = np.abs(shot.image.astype(int) - other.image).max(-1), np.zeros(SIZE, bool)
        inside[y1:y2, x1:x2] = True
        shares.append((difference > 12)[inside].mean())
        stray.append(((difference > 40) & ~inside).mean())
    assert np.median(shares) > 0.3
    assert max(stray) < 0.02  # shadows are faint and outside


def test_people_are_about_a_third_of_the_picture_tall_on_every_stage():
    for stage in range(len(STAGES)):
        stander = Performer(Look.draw(np.random.default_rng(0)), (0.0, 7.0), (Act(0, "stand"),), rgb(255, 0, 0))
        (shot,) = film([stander], stage, 1 / FPS, (144, 216))
        ((_, top, _, bottom),) = [sighting.box for sighting in shot.sightings]
        assert 0.28 < (bottom - top) / 144 < 0.42


@pytest.fixture
def look() -> Look:
    return replace(Look.draw(np.random.default_rng(0)), height=1.75)


def test_legs_do_what_their_names_say(look):
    times = np.arange(0, 2 * gait.JUMP, 0.05)
    jumps = [min(up for _, up in gait.jumping(look, time).ankles) for time in times]
    assert max(jumps) > gait.ANKLE + 0.3
    assert min(jumps) == pytest.approx(gait.ANKLE)
    assert gait.jumping(look, 3 * gait.JUMP).hip == pytest.approx(gait.standing(look, 0).hip)
    assert gait.crouching(look, 0).hip < 0.4 * gait.standing(look, 0).hip
    walker = Performer(look, (0.0, 7.0), (Act(0, "walk", heading=180, speed=1.3),), rgb(255, 0, 0))
    assert walker.at(2) == pytest.approx([-2.6, 7.0])


def test_a_waving_hand_is_above_the_head_and_moves(look):
    stand = gait.standing(look, 0)
    for aside in (True, False):
        places = [gestures.arm(look, gestures.waving(stand, time, aside=aside), 1)[2] for time in np.arange(0, 1, 0.05)]
        assert min(up for *_, up in places) > 0.9 * look.height
        assert np.ptp(places, axis=0)[1 if aside else 0] > 0.2


def test_acts_turn_into_each_other_without_jerks(look):
    acts = (Act(0, "stand"), Act(1, "crouch", "wave", heading=-90), Act(2, "run", "hold", 180, 3.0), Act(3, "jump"))
    person = Performer(look, (0.0, 7.0), acts, rgb(255, 0, 0))
    for change in (1, 2, 3):
        before, after = person.parts(change - 1e-4), person.parts(change + 1e-4)
        joints = min(len(before.start), len(after.start))  # the ball comes last
        bodies = [parts.start[: joints - 1] for parts in (before, after)]
        assert np.abs(bodies[0] - bodies[1]).max() < 0.05


def test_the_ball_is_where_the_other_takes_it():
    for seed in range(10):
        first, second, _, *_ = rehearse("handover", 14, np.random.default_rng(seed))
        assert np.array_equal(first.ball, second.ball)
        hands = [act.begin for act in first.acts if act.arms == "hold" and act.begin > 0]
        for moment in hands:
            assert second.act(moment - 0.01).arms == "give"
            assert first.act(moment - 0.01).arms == "take"
            given = second.parts(moment - 0.01).start[-1]
            taken = first.parts(moment + 0.01).start[-1]
            assert np.linalg.norm(given - taken) < 0.25
        assert hands


# Classes --------------------------------------------------------------------------------------------------------------


def test_the_usual_sample_shows_every_class_often_in_both_splits():
    counts = {split: Counter() for split in SPLITS}
    for video, people in played(usual()):
        for second in usual().key_seconds():
            for person in people:
                counts[video.split].update(person.act(second - FIRST_SECOND).actions)
    assert set(counts["train"]) == set(counts["val"]) == set(ACTIONS)
    assert min(counts["train"].values()) >= 70
    assert min(counts["val"].values()) >= 25


def test_key_frames_show_jumps_on_the_ground_and_in_the_air():
    high = [
        min(up for _, up in gait.jumping(person.look, second - FIRST_SECOND - act.begin).ankles) > 0.2
        for _, people in played(usual())
        for second in usual().key_seconds()
        for person in people
        if (act := person.act(second - FIRST_SECOND)).legs == "jump"
    ]
    assert 0.3 < np.mean(high) < 0.7


def test_every_sketch_is_given_on_every_stage_in_both_splits():
    for split in SPLITS:
        given = {(video.sketch, video.scene) for video in usual().videos() if video.split == split}
        assert given == {(sketch, stage) for sketch in SKETCHES for stage in range(len(STAGES))}
    assert set(PROGRAMME) == set(SKETCHES)


def test_people_watch_exactly_those_who_perform_before_them():
    for _, people in played(usual()):
        for time in np.arange(1, 13, 0.5):
            for person in people:
                act = person.act(time)
                assert not act.watches or act.actions == ("stand", "watch")
                if act.actions not in (("stand",), ("stand", "watch")):
                    continue
                ahead = [
                    other
                    for other in people
                    if {"jump", "wave"} & set(other.act(time).actions)
                    and np.dot(act.direction, other.at(time) - person.at(time)) > 0
                ]
                assert act.watches == bool(ahead)


def test_whether_somebody_watches_cannot_be_told_from_the_crop():
    """Without the performer the same watchers are drawn, pixel by pixel; only the rest of the picture differs."""
    checked = 0
    for seed in range(4):
        people = rehearse("show", 4, np.random.default_rng(seed))
        if not people[1].act(0).watches:
            continue
        gone = replace(people[0], start=(60.0, 7.0))
        for shot, other in zip(film(people, 2, 1), film([gone, *people[1:]], 2, 1), strict=True):
            for sighting in shot.sightings:
                if sighting.actor and people[sighting.actor].act(0).watches:
                    x1, y1, x2, y2 = sighting.box
                    crops = [picture.image[y1:y2, x1:x2].astype(int) for picture in (shot, other)]
                    assert np.abs(crops[0] - crops[1]).max() <= 1
                    checked += 1
            assert (np.abs(shot.image.astype(int) - other.image) > 20).any()
    assert checked > FPS


def test_who_watches_looks_like_who_stands(look):
    """The word is nothing but a word: body, limbs and colours are those of anybody who stands."""
    watcher = Performer(look, (0.0, 7.0), (Act(0, "stand", watches=True),), rgb(255, 0, 0))
    stander = replace(watcher, acts=(Act(0, "stand"),))
    for time in (0.0, 0.7, 3.1):
        assert all(np.array_equal(*pair) for pair in zip(watcher.parts(time), stander.parts(time), strict=True))


def test_watchers_and_others_look_left_and_right_alike():
    turned = {True: Counter(), False: Counter()}
    for seed in range(200):
        _, *people = rehearse("show", 14, np.random.default_rng(seed))
        for person in people:
            for act in person.acts:
                if act.legs == "stand" and act.arms == "free":
                    turned[act.watches][bool(act.direction[0] > 0)] += 1
    for counts in turned.values():
        assert 0.4 < counts[True] / counts.total() < 0.6
