"""Prompts at their limits: many, twice, on one pixel, with ids far apart."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from napari_sam_i2v import cli
from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.job import Settings, make_job
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from tests import tiny
from tests.network import tiny as network


def square(y: int, x: int, size: int = 8) -> np.ndarray:
    mask = np.zeros((tiny.SIZE, tiny.SIZE), bool)
    mask[y : y + size, x : x + size] = True
    return mask


def labels_of(prompts: list[Prompt], frames: int = 2) -> np.ndarray:
    settings = Settings(model=network.shared_fine(), device="cpu", contrast=(0.0, 4000.0, 1.0))
    job = make_job(tiny.blobs(frames), prompts, settings)
    labels = np.zeros(job.shape, np.uint16)
    list(job.run(labels))
    return labels


def test_ten_thousand_are_read_checked_and_added_in_seconds(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    places = draw.uniform(0, tiny.SIZE - 1, (10_000, 2))
    rows = [f"{1 + i % 500},{i % 6},{y:.2f},{x:.2f},1" for i, (y, x) in enumerate(places)]
    path = tmp_path / "many.csv"
    path.write_text("\n".join(["object_id,frame,y,x,label", *rows]) + "\n")
    begin = time.thread_time()  # of the processor: other programs do not count
    prompts = read_prompts(path, movie_shape=(6, tiny.SIZE, tiny.SIZE))
    assert sum(len(prompt.points) for prompt in prompts) == 10_000
    session = Session(tiny.blobs(), model=network.shared(), device="cpu", contrast=(0, 4000))
    session.add_prompts(prompts)
    assert len(session.object_ids) == 500
    assert time.thread_time() - begin < 20


def test_ten_thousand_points_on_one_object_are_answered() -> None:
    points = np.random.default_rng(2).uniform(10, 20, (10_000, 2))
    session = Session(tiny.blobs(), model=network.shared(), device="cpu", contrast=(0, 4000))
    answer = session.add_points(1, 0, points=points)
    assert answer.labels.shape == (tiny.SIZE, tiny.SIZE)


def test_the_same_point_twice_counts_as_two_and_does_no_harm(tmp_path: Path) -> None:
    tiny.write_clicks(tmp_path / "twice.csv", (tiny.CLICKS[0], tiny.CLICKS[0]))
    (prompt,) = read_prompts(tmp_path / "twice.csv")
    assert prompt.points.tolist() == [[12, 14], [12, 14]]
    assert labels_of([prompt]).shape == (2, tiny.SIZE, tiny.SIZE)


def test_ids_need_not_follow_each_other_and_reach_the_last() -> None:
    prompts = [Prompt(i, 0, mask=square(4, x)) for i, x in ((65_535, 4), (7, 20), (300, 36))]
    labels = labels_of(prompts)
    assert set(np.unique(labels[0])) == {0, 7, 300, 65_535}
    for prompt in prompts:
        np.testing.assert_array_equal(labels[0] == prompt.object_id, prompt.mask)


@pytest.mark.parametrize("object_id", [0, -1, 65_536, 2**40])
def test_ids_that_labels_cannot_hold_are_refused(tmp_path: Path, object_id: int) -> None:
    with pytest.raises(PromptError, match="between 1 and 65535"):
        Prompt(object_id, 0, mask=square(4, 4))
    tiny.write_clicks(tmp_path / "ids.csv", ((object_id, 0, 3, 3),))
    with pytest.raises(PromptError, match=r"whole number in 1\.\.65535"):
        read_prompts(tmp_path / "ids.csv")


@pytest.mark.parametrize("order", [1, -1])
def test_two_masks_on_the_same_pixels_go_to_the_smaller_id(order: int) -> None:
    prompts = [Prompt(4, 0, mask=square(4, 4)), Prompt(9, 0, mask=square(4, 8))][::order]
    first = labels_of(prompts)[0]
    np.testing.assert_array_equal(first == 4, square(4, 4))
    np.testing.assert_array_equal(first == 9, square(4, 8) & ~square(4, 4))


def test_two_clicks_on_one_pixel_give_each_pixel_one_object() -> None:
    session = Session(tiny.blobs(), model=load_model(device="cpu"), device="cpu")
    for object_id in (1, 2):
        session.add_points(object_id, 0, points=[(12, 14)])
    again = Session(tiny.blobs(), model=session.model, device="cpu")
    again.add_prompts([Prompt(i, 0, points=np.array([[12.0, 14.0]])) for i in (2, 1)])
    for one in (session, again):
        list(one.propagate("forward"))
    assert np.unique(session.labels).max() <= 2
    np.testing.assert_array_equal(session.labels, again.labels)


def test_empty_masks_alone_are_nothing_to_track(tmp_path: Path) -> None:
    nobody = np.zeros((tiny.SIZE, tiny.SIZE), bool)
    with pytest.raises(PromptError, match="at least one prompt is required"):
        labels_of([Prompt(1, 0, mask=nobody)])
    labels = labels_of([Prompt(1, 0, mask=square(4, 4)), Prompt(1, 1, mask=nobody)])
    assert labels[0].any() and not labels[1].any()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_are_none_are_refused_by_the_command(
    tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_movie(tmp_path / "movie.tif")
    (tmp_path / "clicks.csv").write_text(f"object_id,frame,y,x\n1,0,{value},3\n")
    code = cli.main([
        "segment", str(tmp_path / "movie.tif"), "--prompts", str(tmp_path / "clicks.csv"),
        "--output", str(tmp_path / "labels.tif"),
    ])  # fmt: skip
    assert code == 2
    assert "line 2: y must be finite" in capsys.readouterr().err
    assert not (tmp_path / "labels.tif").exists()
