"""An empty mask says that an object is not on a frame; tracking goes on from that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.prompt_files import read_saved_prompts, write_prompts
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook
from napari_sam_i2v.propagation.session import Session
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import discs, only, run

SHAPE = (120, 160)
NOBODY = np.zeros(SHAPE, bool)


def there(session: Session) -> list[int]:
    """Frames on which object 1 has pixels."""
    return np.flatnonzero(only(session.labels, 1).any(axis=(1, 2))).tolist()


@pytest.fixture
def still(bright: MakeSession) -> Session:
    """A session on a disc at rest in a corner, far from the middle, ten frames."""
    return bright(discs([[(20.0, 25.0)]] * 10, SHAPE))


def test_a_tracked_frame_is_emptied_and_the_object_comes_back(still: Session) -> None:
    still.add_points(1, 0, points=(20, 25))
    run(still.propagate())
    still.add_mask(1, 5, mask=NOBODY)
    assert there(still) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert run(still.propagate()) == [5, 6, 7, 8, 9]
    assert there(still) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_an_untracked_frame_is_passed_through_and_the_window_stays(still: Session) -> None:
    still.add_prompts([Prompt(1, 0, points=np.array([[20, 25]])), Prompt(1, 5, mask=NOBODY)])
    run(still.propagate())
    assert there(still) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


@pytest.mark.parametrize("start", [5, 6, 8])
def test_a_pass_begun_after_it_looks_where_the_object_was(still: Session, start: int) -> None:
    still.add_points(1, 0, points=(20, 25))
    for frame in (5, 6, 7):
        still.add_mask(1, frame, mask=NOBODY)
    run(still.propagate(frames=range(start)))
    run(still.propagate(frames=range(start, 10)))
    assert there(still) == [0, 1, 2, 3, 4, 8, 9]


def test_backward_and_both_begin_where_the_object_is(still: Session) -> None:
    still.add_points(1, 5, points=(20, 25))
    still.add_mask(1, 2, mask=NOBODY)
    still.add_mask(1, 8, mask=NOBODY)
    assert run(still.propagate("backward")) == [5, 4, 3, 2, 1, 0]
    assert there(still) == [0, 1, 3, 4, 5]
    assert run(still.propagate("forward")) == [5, 6, 7, 8, 9]
    assert there(still) == [0, 1, 3, 4, 5, 6, 7, 9]
    assert still.pending("both") == ()


def test_nothing_is_tracked_from_absence_alone(still: Session) -> None:
    still.add_mask(1, 3, mask=NOBODY)
    assert still.pending("both") == ()
    with pytest.raises(PromptError, match="Nothing to track"):
        run(still.propagate())


def rounds(*prompts: Prompt) -> tuple[Prompt, ...]:
    return PromptBook(prompts).rounds(1, 3)


def test_a_click_on_the_object_takes_it_back() -> None:
    gone = Prompt(1, 3, mask=NOBODY)
    on, off = (Prompt(1, 3, points=np.array([[5, 5]]), labels=np.array([n])) for n in (1, 0))
    assert rounds(on, gone) == (gone,)
    assert rounds(gone, on) == (on,)
    assert rounds(gone, off, on) == (off, on)
    assert rounds(gone, off) == (gone,)
    book = PromptBook([gone, Prompt(1, 4, points=np.array([[5, 5]]))])
    assert (book.shown(1), book.is_absent(1, 3), book.is_absent(1, 4)) == ((4,), True, False)


def test_files_hold_it_and_csv_says_that_it_cannot(tmp_path: Path) -> None:
    given = [Prompt(1, 0, points=np.array([[5, 5]])), Prompt(1, 3, mask=NOBODY, correction=True)]
    path = write_prompts(tmp_path / "p.json", given)
    back = read_saved_prompts(path, movie_shape=(10, *SHAPE))
    assert [(p.frame, p.absent, p.correction) for p in back] == [(0, False, False), (3, True, True)]
    assert back[1].mask is not None and back[1].mask.shape == SHAPE
    with pytest.raises(PromptError, match="object 1 on frame 3 is marked “not here”"):
        write_prompts(tmp_path / "p.csv", given)
    assert not (tmp_path / "p.csv").exists()


def test_a_thousand_marks_take_no_memory() -> None:
    mask = Prompt(1, 3, mask=np.zeros((2048, 2048), bool)).mask
    assert mask is not None and mask.base is not None and mask.base.nbytes == 1
