"""Clips of many videos in batches of one size: a function of the list alone, full batches, even shares."""

import pytest

from datamodules.packing import PACK_BATCHES, Segment, count_batches, deal, pack_videos, split_into_batches

LISTS = {
    "none": [],
    "one": [5],
    "equal": [7] * 23,
    "mixed": [(37 * place) % 29 + 1 for place in range(101)],
    "long": [400, 3, 90, 1, 1, 64, 63, 65, 2],
    "with empty ones": [0, 5, 0, 12, 3, 0],
    "all empty": [0, 0],
}
lists = pytest.mark.parametrize("counts", LISTS.values(), ids=LISTS.keys())


@lists
@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_every_video_is_in_one_pack_and_only_a_video_alone_is_longer_than_a_pack(counts, batch_size: int) -> None:
    packs = pack_videos(counts, batch_size)
    assert sorted(video for pack in packs for video in pack) == list(range(len(counts)))
    for pack in packs:
        assert len(pack) == 1 or sum(counts[video] for video in pack) <= PACK_BATCHES * batch_size
        assert list(pack) == sorted(pack, key=lambda video: (-counts[video], video))
    assert sum(all(counts[video] == 0 for video in pack) for pack in packs) == (0 in counts)
    assert not any(0 < sum(counts[video] == 0 for video in pack) < len(pack) for pack in packs)


def test_nearly_all_places_of_the_batches_are_taken() -> None:
    counts = [(37 * place) % 49 + 12 for place in range(437)]  # as many windows as the videos of ShanghaiTech have
    batches = sum(count_batches(sum(counts[video] for video in pack), 8) for pack in pack_videos(counts, 8))
    assert sum(counts) / (8 * batches) > 0.97


def test_many_videos_are_packed_in_no_time() -> None:
    counts = [(7919 * place) % 61 for place in range(100_000)]
    assert len(pack_videos(counts, 8)) < 60_000


@lists
@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_the_batches_of_a_pack_hold_all_its_clips_once_and_in_order(counts, batch_size: int) -> None:
    for pack in pack_videos(counts, batch_size):
        batches = split_into_batches(pack, counts, batch_size)
        assert len(batches) == count_batches(sum(counts[video] for video in pack), batch_size)
        sizes = [sum(segment.stop - segment.first for segment in batch) for batch in batches]
        assert all(size == batch_size for size in sizes[:-1]) and sizes[-1] <= batch_size
        clips = [
            (segment.video, clip)
            for batch in batches
            for segment in batch
            for clip in range(segment.first, segment.stop)
        ]
        assert clips == [(video, clip) for video in pack for clip in range(counts[video])]


def test_videos_without_clips_share_a_batch_in_which_they_can_be_named() -> None:
    assert split_into_batches((0, 2), [0, 9, 0], 4) == [[Segment(0, 0, 0), Segment(2, 0, 0)]]


@pytest.mark.parametrize("shares", [1, 2, 3, 50])
def test_everything_is_dealt_once_and_as_evenly_as_its_weights_allow(shares: int) -> None:
    weights = [(37 * place) % 11 + 1 for place in range(40)]
    dealt = deal(weights, shares)
    assert len(dealt) == shares and sorted(place for share in dealt for place in share) == list(range(len(weights)))
    loads = [sum(weights[place] for place in share) for share in dealt]
    assert max(loads) - min(loads) <= max(weights)
    assert all(
        [weights[place] for place in share] == sorted((weights[p] for p in share), reverse=True) for share in dealt
    )


def test_a_heavy_thing_weighs_as_much_as_many_light_ones() -> None:
    assert deal([1, 1, 5, 1, 1, 1, 2], 3) == [[2], [6, 3, 5], [0, 1, 4]]
