"""The curves under the viewer: right colours at right places, clicks that give right frames."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QImage, QPalette
from qtpy.QtWidgets import QToolTip

from napari_sam_i2v.widget.curves import CurveView
from napari_sam_i2v.widget.plotting import (
    column_ranges,
    isolated,
    nice_ceiling,
    nice_step,
    readable,
    short_number,
    stroke,
)
from napari_sam_i2v.widget.review import DOUBTFUL_BELOW, Curves

RED, BLUE, GREEN = (1.0, 0.2, 0.2, 1.0), (0.3, 0.5, 1.0, 1.0), (0.1, 0.9, 0.2, 1.0)
DARK, LIGHT = ("#23242b", "#f0f1f2"), ("#ebe7e6", "#1e1e21")
NAN = np.nan


def palette(ground: str, text: str) -> QPalette:
    made = QPalette()
    made.setColor(QPalette.ColorRole.Window, QColor(ground))
    made.setColor(QPalette.ColorRole.WindowText, QColor(text))
    return made


@pytest.fixture
def view(qtbot) -> CurveView:
    view = CurveView()
    qtbot.addWidget(view)
    view.setPalette(palette(*DARK))
    view.resize(640, 180)
    with qtbot.waitExposed(view):
        view.show()
    return view


def flat(object_id: int, n: int, *, confidence=0.9, area=100.0, suspicious=()) -> Curves:
    return Curves(object_id, np.full(n, confidence), np.full(n, area), suspicious)


def pixels(view: CurveView) -> np.ndarray:
    """What is on the screen, (H, W, 3) 0 .. 1."""
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    raw = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    shaped = raw.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), :3]
    return shaped / 255


def is_colour(seen: np.ndarray, colour) -> np.ndarray:
    return np.abs(seen - np.array(colour[:3])).max(axis=-1) < 0.12


def rows_of(view: CurveView, colour, frame: float) -> np.ndarray:
    """Rows of a colour in the column of a frame."""
    return np.flatnonzero(is_colour(pixels(view)[:, int(view.picture.x_of(frame))], colour))


# -- arithmetic, without a screen ------------------------------------------------------------------
def test_ranges_join_frames_that_are_far_apart():
    low, high = column_ranges(np.array([0.0, 10.0]), 20)  # frames at columns 5 and 15
    assert np.isnan(low[:4]).all()
    assert np.isnan(high[16:]).all()
    np.testing.assert_allclose(low[5:15], np.arange(10))
    np.testing.assert_allclose(high[5:15], np.arange(1, 11))


def test_no_extreme_of_a_crowd_is_lost():
    values = np.zeros(10_000)
    values[4321], values[8765] = 7, -3
    low, high = column_ranges(values, 100)
    assert (high.argmax(), high.max(), low.argmin(), low.min()) == (43, 7, 87, -3)


def test_gaps_stay_gaps_and_lone_frames_are_found():
    values = np.array([1, 1, NAN, 5, NAN, NAN, 2, 2])
    low, _ = column_ranges(values, 80)
    assert np.isnan(low[16:34]).all()
    assert np.isnan(low[36:64]).all()
    assert isolated(values).tolist() == [3]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_nothing_known_gives_nothing(n):
    low, high = column_ranges(np.full(n, NAN), 10)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_stroke_covers_in_parts_and_stays_inside():
    image = np.zeros((6, 3, 4), np.float32)
    stroke(image, np.array([2.0, NAN, -9]), np.array([2.0, NAN, 99]), colour=(1, 0.5, 0),
           thickness=1.5)  # fmt: skip
    np.testing.assert_allclose(image[:, 0, 3], [0, 0.75, 0.75, 0, 0, 0])
    np.testing.assert_allclose(image[1, 0], [0.75, 0.375, 0, 0.75])
    assert not image[:, 1].any()
    assert (image[:, 2, 3] == 1).all()


def test_stroke_outside_of_the_image_paints_nothing():
    image = np.zeros((6, 2, 4), np.float32)
    stroke(image, np.array([-9.0, 30]), np.array([-8.0, 31]), colour=(1, 1, 1))
    assert not image.any()


def test_round_numbers():
    assert [nice_step(n) for n in (0.3, 1, 1.2, 4, 7, 10, 130)] == [1, 1, 2, 5, 10, 10, 200]
    assert [nice_ceiling(n) for n in (0, 7, 100, 1130, NAN)] == [1, 8, 100, 1200, 1]
    assert [short_number(n) for n in (0.5, 850, 1200, 2.5e6)] == ["0.5", "850", "1.2k", "2.5M"]


@pytest.mark.parametrize(("ground", "text"), [(0.1, 0.95), (0.9, 0.1)])
def test_colours_are_changed_only_where_they_would_drown(ground, text):
    on, towards = (ground,) * 3, (text,) * 3
    same = (ground, ground, ground * 1.01)
    assert abs(readable(same, on=on, towards=towards)[0] - ground) > 0.15
    clear = (0.9, 0.3, 0.3) if ground < 0.5 else (0.5, 0.0, 0.0)
    np.testing.assert_allclose(readable(clear, on=on, towards=towards), clear)
    brown = readable((0.3, 0.1, 0.0), on=on, towards=towards)
    assert brown[0] > 2.5 * brown[1] > brown[2]  # the hue stays


# -- the widget ------------------------------------------------------------------------------------
@pytest.mark.gui
@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_lines_lie_at_their_values_in_their_colours(view, theme):
    view.setPalette(palette(*theme))
    colours = (RED, BLUE) if theme == DARK else ((0.7, 0.0, 0.0), (0.1, 0.2, 0.7))
    view.set_curves([flat(1, 40, confidence=0.75, area=500), flat(2, 40, confidence=0.25, area=0)],
                    {1: colours[0], 2: colours[1]})  # fmt: skip
    view.set_frame(0)
    for number, (strip, values) in enumerate(zip(view.picture.strips, ((0.75, 0.25), (500, 0)),
                                                 strict=True)):  # fmt: skip
        for colour, value in zip(colours, values, strict=True):
            rows = rows_of(view, colour, 20)
            inside = rows[(rows > strip.box.top() - 3) & (rows < strip.box.bottom() + 3)]
            assert len(inside), (number, value)
            assert abs(inside.mean() + 0.5 - strip.y(value)) < 2.5
    ground = QColor(theme[0])
    seen = pixels(view)[2, 2]
    np.testing.assert_allclose(seen, (ground.redF(), ground.greenF(), ground.blueF()), atol=0.01)


@pytest.mark.gui
def test_threshold_is_a_line(view):
    view.set_curves([flat(1, 40)], {1: RED})
    box = view.picture.strips[0].box
    row = int(view.picture.strips[0].y(DOUBTFUL_BELOW))
    seen = pixels(view)[row - 4 : row + 6, int(box.left()) + 60 : int(box.right())]
    contrast = seen.mean(axis=-1).max(axis=1)
    assert contrast.argmax() in (3, 4, 5)
    assert contrast.max() > np.median(contrast) + 0.2


@pytest.mark.gui
def test_gap_is_empty_and_a_lone_frame_is_a_dot(view):
    confidence = np.full(200, 0.9)
    confidence[50:150] = NAN
    confidence[100] = 0.9
    view.set_curves([Curves(1, confidence, np.full(200, NAN))], {1: GREEN})
    assert len(rows_of(view, GREEN, 20))
    assert not len(rows_of(view, GREEN, 75))
    assert len(rows_of(view, GREEN, 100))


@pytest.mark.gui
def test_suspicious_frames_have_a_triangle(view):
    view.set_curves([flat(1, 100, suspicious=(30,)), flat(2, 100, suspicious=(70,))],
                    {1: RED, 2: BLUE})  # fmt: skip
    lane = pixels(view)[: int(view.picture.plot.top()) - 1]
    for frame, colour in ((30, RED), (70, BLUE)):
        columns = np.flatnonzero(is_colour(lane, colour).any(axis=0))
        assert len(columns)
        assert abs(columns.mean() + 0.5 - view.picture.x_of(frame)) < 1.5


@pytest.mark.gui
def test_current_frame_is_a_line_through_both_strips(view):
    view.set_curves([flat(1, 100)], {1: RED})
    text = QColor(DARK[1])
    colour = (text.redF(), text.greenF(), text.blueF())

    def lines() -> list[float]:
        plot = view.picture.plot
        seen = pixels(view)[int(plot.top()) : int(plot.bottom()), int(plot.left()) :]
        through = np.flatnonzero(is_colour(seen, colour).mean(axis=0) > 0.8)
        return (through + 0.5 + int(plot.left())).tolist()

    for frame in (10, 80):
        view.set_frame(frame)
        (x,) = lines()
        assert abs(x - view.picture.x_of(frame)) <= 1
    view.set_frame(100)  # of another movie
    assert lines() == []


@pytest.mark.gui
def test_click_and_drag_choose_frames(view, qtbot):
    view.set_curves([flat(1, 100)], {1: RED})
    chosen: list[int] = []
    view.frame_chosen.connect(chosen.append)
    at = lambda frame: QPoint(round(view.picture.x_of(frame)), 60)  # noqa: E731
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=at(37))
    assert chosen == [37]
    assert view.frame == 37
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=at(40))
    for place in (at(41), at(41), at(42), QPoint(5000, 60), QPoint(-50, 500)):
        qtbot.mouseMove(view, place)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=at(42))
    assert chosen[:3] == [37, 40, 41]
    assert set(chosen[3:]) <= {42, 99, 0}
    qtbot.mouseClick(view, Qt.MouseButton.RightButton, pos=at(50))
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(3, 60))  # beside the strips
    assert 50 not in chosen


@pytest.mark.gui
def test_set_frame_emits_nothing(view, qtbot):
    view.set_curves([flat(1, 100)])
    with qtbot.assertNotEmitted(view.frame_chosen):
        view.set_frame(5)


@pytest.mark.gui
def test_click_on_a_triangle_means_exactly_its_frame(view, qtbot):
    view.set_curves([flat(1, 10_000, suspicious=(4321,))])
    place = QPoint(round(view.picture.x_of(4321)) + 2, 9)
    with qtbot.waitSignal(view.frame_chosen) as signal:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place)
    assert signal.args == [4321]
    with qtbot.waitSignal(view.frame_chosen) as signal:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place + QPoint(0, 40))
    assert signal.args == [view.picture.frame_at(place.x())] != [4321]


@pytest.mark.gui
def test_tooltip_tells_of_the_nearest_object(view, qtbot):
    view.set_curves([flat(1, 50, confidence=0.9, area=1234), flat(8, 50, confidence=0.3, area=0,
                    suspicious=(25,))])  # fmt: skip
    x, upper = round(view.picture.x_of(25)), view.picture.strips[0]
    qtbot.mouseMove(view, QPoint(x, int(upper.y(0.8))))
    assert QToolTip.text() == "Frame 25 · object 1\nConfidence 0.90\nArea 1,234 px"
    qtbot.mouseMove(view, QPoint(x, int(upper.y(0.35))))
    assert QToolTip.text() == "Frame 25 · object 8\nConfidence 0.30\nAbsent\nWorth a look"
    view.grab()  # painting what is pointed at
    qtbot.mouseMove(view, QPoint(4, 4))
    qtbot.waitUntil(lambda: not QToolTip.isVisible() or QToolTip.text() == "")


@pytest.mark.gui
@pytest.mark.parametrize("curves", [[], [flat(1, 30, confidence=NAN, area=NAN)]])
def test_empty_state_says_what_to_do_and_takes_no_clicks(view, qtbot, curves):
    view.set_curves(curves)
    view.set_frames(30)
    assert view.picture.is_empty
    seen = pixels(view)
    written = np.abs(seen - seen[0, 0]).max(axis=-1) > 0.2
    rows, columns = np.nonzero(written)
    assert written.any()
    assert abs(columns.mean() - view.width() / 2) < 20
    assert abs(rows.mean() - view.height() / 2) < 10
    with qtbot.assertNotEmitted(view.frame_chosen):
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(300, 60))


@pytest.mark.gui
def test_another_movie_drops_curves_of_another_length(view):
    view.set_curves([flat(1, 30)])
    view.set_frames(30)
    assert not view.picture.is_empty
    view.set_frames(31)
    assert view.picture.is_empty
    assert view.picture.n_frames == 31


@pytest.mark.gui
@pytest.mark.parametrize("size", [(300, 120), (1900, 250)])
@pytest.mark.parametrize(("n_objects", "n_frames"), [(1, 1), (1, 5), (50, 5), (50, 10_000)])
def test_any_size_and_number(view, size, n_objects, n_frames):
    view.resize(*size)
    rng = np.random.default_rng(0)
    area, sure = rng.integers(0, 900, n_frames).astype(float), rng.random(n_frames)
    marks = tuple(range(0, n_frames, 7))
    view.set_curves([Curves(one, sure, area, marks) for one in range(n_objects)], {0: RED})
    seen = pixels(view)
    assert seen.shape[:2] == size[::-1]
    assert view.picture.plot.width() > 0.6 * size[0]
    assert view.picture.frame_at(view.picture.x_of(n_frames - 1)) == n_frames - 1
    assert is_colour(seen, RED).any() or n_objects > 1


@pytest.mark.gui
def test_another_theme_draws_anew(view):
    view.set_curves([flat(1, 30)], {1: RED})
    before = pixels(view)[2, 2]
    view.setPalette(palette(*LIGHT))
    assert np.abs(pixels(view)[2, 2] - before).max() > 0.5
