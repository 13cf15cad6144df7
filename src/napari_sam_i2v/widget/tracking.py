"""The dock's controller, without Qt: one movie, its session, and the layers that show it.

Everything here runs on the main thread, except `run` (see `desk`). It makes no layer before a
movie is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from psygnal import Signal

from napari_sam_i2v.errors import InputError, MovieError, PromptError
from napari_sam_i2v.measure.divisions import ProposedDivision
from napari_sam_i2v.propagation.prompts import MAX_OBJECT_ID, Prompt
from napari_sam_i2v.widget import exports, object_jobs
from napari_sam_i2v.widget.desk import (
    Desk,
    Event,
    Found,
    Job,
    Passed,
    PassRequest,
    Said,
    Stood,
    Wrote,
)
from napari_sam_i2v.widget.layers import resolve_axes
from napari_sam_i2v.widget.object_rows import ObjectRow, default_name, rows_of
from napari_sam_i2v.widget.opening import Kept, Opening, open_bench, open_folder
from napari_sam_i2v.widget.pace import Pace
from napari_sam_i2v.widget.pending import Edit, Key, Pending
from napari_sam_i2v.widget.prompt_layers import PromptLayers, prompts_from_layer, same_rounds
from napari_sam_i2v.widget.review import Curves, curves_of, next_suspicious
from napari_sam_i2v.widget.stage import Stage, Tool

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam_i2v.propagation.session import Direction, Until
    from napari_sam_i2v.workbench import Workbench

__all__ = ["ObjectRow", "Tool", "TrackController"]

OpenBench = Callable[[Opening, Kept], "Workbench"]


class TrackController:
    """What the dock does, for any view.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, or napari's proxy of it.
    bench : callable
        Makes the workbench of an opened movie, on the worker's thread; tests put another in.
    """

    objects_changed = Signal()
    busy_changed = Signal(bool)
    progress_changed = Signal()
    curves_changed = Signal()
    history_changed = Signal()
    opened_changed = Signal()
    problem = Signal(str)
    note = Signal(str)
    work_wanted = Signal()
    painted = Signal()

    def __init__(self, viewer: ViewerModel, *, bench: OpenBench = open_bench) -> None:
        self.viewer = viewer
        self._bench_of = bench
        self._at_work = False  # from when a worker is wanted until its end was seen here
        self._farewell = ""  # what to say once the worker has stopped and the session is closed
        self._clear()

    def _clear(self) -> None:
        self.tool: Tool | None = None
        self._stage: Stage | None = None
        self._kept: Kept | None = None
        self._desk: Desk | None = None
        self._stood = Stood((), (), None, None, frozenset(), show=False)
        self._pending = Pending()
        self._shown: dict[Key, tuple[Prompt, ...]] = {}
        self._names: dict[int, str] = {}
        self._proposals: list[ProposedDivision] = []
        self._said_passing = False
        self._current = 1
        self._at_division = 0  # the current object when a division was asked for
        self._undrawn: set[int] = set()
        self._latest: int | None = None  # frame of a pass that was not shown yet
        self._progress = (0, 0)
        self._pace = Pace(1)

    # ---- opening ----------------------------------------------------------------------------

    def images(self) -> list[Image]:
        """Return the Image layers, bottom first."""
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def prompt_sources(self) -> list[Layer]:
        """Return layers of the user's that hold points, shapes or labels to prompt with."""
        own = self.own_layers
        kinds = (Points, Shapes, Labels)
        return [x for x in self.viewer.layers if isinstance(x, kinds) and x not in own]

    @property
    def image(self) -> Image | None:
        """The open movie's layer."""
        return None if self._stage is None else self._stage.image

    @property
    def labels(self) -> Labels | None:
        """Our Labels layer."""
        return None if self._stage is None else self._stage.labels

    @property
    def prompt_layers(self) -> PromptLayers | None:
        """Our clicks and boxes."""
        return None if self._stage is None else self._stage.prompts

    @property
    def own_layers(self) -> list[Layer]:
        """Our layers of the open movie: labels, clicks, boxes."""
        return [] if self._stage is None else self._stage.layers

    @property
    def opened(self) -> bool:
        """Whether a movie is open."""
        return self._desk is not None

    @property
    def folder(self) -> Path | None:
        """Where the session is kept."""
        return None if self._kept is None else self._kept.folder.path

    @property
    def in_use(self) -> dict[str, str]:
        """Model and view of the open session; empty before they are known."""
        if self._desk is None or self._desk.bench is None:
            return {}
        settings = self._desk.bench.settings
        return {key: settings[key] for key in ("model", "view") if key in settings}

    def open(
        self,
        image: Image,
        *,
        model: str = "default",
        view: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        folder: Path | None = None,
        sessions: Path | None = None,
        chosen: frozenset[str] = frozenset(),
    ) -> None:
        """Open a movie's session, the one it had if there is one; adds our layers.

        Parameters
        ----------
        image : Image
            The movie's layer.
        model, view, device, precision : str
            As for `Session`.
        folder : Path, optional
            The session's own folder; found by the movie's name by default.
        sessions : Path, optional
            In which folder that is looked for or made; beside the movie by default.
        chosen : frozenset of str
            "model", "view": what counts even if the session was made with another.

        Raises
        ------
        SamI2VError
            If the layer is no movie, or the folder cannot be used.
        """
        self.close()
        axes = resolve_axes(image, self.viewer.dims.point)
        opening = Opening.of(
            image, axes, model=model, view=view, device=device, precision=precision, chosen=chosen
        )
        kept = open_folder(opening, folder, sessions=sessions)
        self._kept = kept
        self.viewer.layers.events.removed.connect(self._on_removed)
        greeting = f"Reopened the session in {kept.folder.path}." if kept.reopened else ""
        self._desk = Desk(lambda: self._bench_of(opening, kept), greeting)
        self._stage = Stage(
            self.viewer, image, axes, kept, on_prompts=self._on_prompts,
            on_paint=self._on_paint, on_stroke=self.take_stroke, undo=self.undo, redo=self.redo,
            on_choose=self._choose, on_colours=self.objects_changed.emit,
        )  # fmt: skip
        self._names = {int(i): str(n) for i, n in kept.settings.get("names", {}).items()}
        self.current_object = 1
        self.opened_changed.emit()
        self._want_work()

    def close(self) -> None:
        """Let go of the session; it stays in its folder, and the layers stay in the viewer.

        No worker may run any more.
        """
        if self._kept is None:
            return
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self._stage is not None:
            self._stage.close()
        self._kept.folder.close()
        self._clear()
        self._set_at_work(False)
        self.opened_changed.emit()
        self.objects_changed.emit()

    def _on_removed(self, event: Any) -> None:
        """Without its movie or its labels, a session has nothing to stand on."""
        if self._desk is None or event.value not in (self.image, self.labels):
            return
        self._farewell = f"The session was closed; it is kept in {self.folder}."
        self._desk.cancel()
        if not self.busy:
            self._leave()

    def _leave(self) -> None:
        """Close, and say why then: closing takes away what was said before."""
        said, self._farewell = self._farewell, ""
        self.close()
        self._tell(said)

    # ---- objects ----------------------------------------------------------------------------

    def rows(self) -> list[ObjectRow]:
        """Return the object list; the current object is in it before it has a prompt."""
        current = self._current if self.opened else None
        return rows_of(
            self._stood.objects, self._names, self._colour, current, frame=self.frame,
            passing=self._stood.passing if self.tracking else (),
        )  # fmt: skip

    def _colour(self, object_id: int) -> np.ndarray:
        return np.ones(4) if self._stage is None else self._stage.colour_of(object_id)

    def _choose(self, object_id: int) -> None:
        self.current_object = object_id

    @property
    def current_object(self) -> int:
        """The object that prompts are for."""
        return self._current

    @current_object.setter
    def current_object(self, object_id: int) -> None:
        self._current = int(object_id)
        if self._stage is not None:
            self._stage.choose(self._current)
        self.objects_changed.emit()

    def new_object(self) -> int:
        """Make the next free id the current object; returns it."""
        self.current_object = free = self._free_id()
        return free

    def _free_id(self) -> int:
        taken = self._taken()
        free = max(taken, default=0) + 1
        if free > MAX_OBJECT_ID:
            free = next(i for i in range(1, MAX_OBJECT_ID + 2) if i not in taken)
        return free

    def _taken(self) -> set[int]:
        """Ids of objects that there are, or will be once the worker has done what it was asked."""
        return {*self._known_to_worker(), *self._clicked(), *self._pending.ids}

    def _clicked(self) -> set[int]:
        return {object_id for object_id, _ in self._shown}

    def _known_to_worker(self) -> set[int]:
        return {status.object_id for status in self._stood.objects}

    def select_at_cursor(self) -> None:
        """Make the object under the mouse pointer the current one."""
        if self._stage is not None and (object_id := self._stage.under_pointer()):
            self.current_object = object_id

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name of its own, or with an empty one its usual one."""
        if name.strip() and name != default_name(object_id):
            self._names[object_id] = name.strip()
        else:
            self._names.pop(object_id, None)
        self._put(object_jobs.rename_job(self._names))

    def delete(self, objects: Sequence[int]) -> None:
        """Erase objects with their prompts."""
        if known := self._known(objects):
            self._put(object_jobs.delete_job(known))

    def merge(self, objects: Sequence[int], into: int) -> None:
        """Make objects part of another."""
        self._put(object_jobs.merge_job(objects, into))

    def swap(self, a: int, b: int) -> None:
        """Swap two objects from the frame on screen on."""
        self._put(object_jobs.swap_job(a, b, self.frame))

    def divide(self, object_id: int) -> None:
        """Mark a division on the frame on screen; then the second daughter becomes current."""
        daughters = self._two_free_ids()
        number = self._put(object_jobs.divide_job(object_id, self.frame, daughters))
        self._expect_daughters(number, daughters)

    def _two_free_ids(self) -> tuple[int, int]:
        first = self._free_id()
        return first, first + 1

    def _expect_daughters(self, number: int, daughters: tuple[int, int]) -> None:
        """Keep ids free for a division; whoever chooses an object before it is made keeps that."""
        self._pending.promise(number, daughters)
        self._at_division = self._current

    def find_divisions(self) -> None:
        """Look for objects that may have divided; `proposals` has them then."""
        self._put(exports.divisions_job(self._kept_now()))

    @property
    def proposals(self) -> list[ProposedDivision]:
        """Divisions that were proposed, of objects that are still there."""
        there = self._known_to_worker()
        return [one for one in self._proposals if one.object_id in there]

    def show_proposal(self, proposal: ProposedDivision) -> None:
        """Go to the frame and make the object current."""
        self.current_object = proposal.object_id
        self.go_to(proposal.frame)

    def accept_proposal(self, proposal: ProposedDivision) -> None:
        """Mark a division that was proposed; the two parts become the daughters' prompts."""
        daughters = self._two_free_ids()
        number = self._put(object_jobs.accept_job(proposal, daughters))
        self._expect_daughters(number, daughters)
        self._proposals = [one for one in self._proposals if one is not proposal]
        self.go_to(proposal.frame)

    def lock_objects(self, objects: Sequence[int], locked: bool) -> None:
        """Lock objects, or release them."""
        self._put(object_jobs.lock_objects_job(self._known(objects), locked))

    def lock_frame(self, locked: bool) -> None:
        """Lock the frame on screen for all objects, or release it."""
        self._put(object_jobs.lock_frame_job(self.frame, locked))

    @property
    def frame_locked(self) -> bool:
        """Whether the frame on screen is locked."""
        return self.frame in self._stood.locked_frames

    def _known(self, objects: Iterable[int]) -> list[int]:
        """Leave out those that have no prompt; a click counts before it is answered."""
        there = {*self._known_to_worker(), *self._clicked()}
        return [object_id for object_id in objects if object_id in there]

    # ---- prompting --------------------------------------------------------------------------

    def arm(self, tool: Tool | None) -> None:
        """Make clicks and drags on the canvas prompt, or move the camera again.

        Raises
        ------
        PromptError
            If no frame of the movie is on screen to be painted on.
        """
        if self._stage is not None:
            self._stage.arm(tool)
        self.tool = tool

    @property
    def in_hand(self) -> Tool | None:
        """The tool that the canvas obeys; none once another layer or mode is chosen in napari."""
        return None if self._stage is None else self._stage.in_hand

    @property
    def not_here(self) -> frozenset[int]:
        """Objects that the user said are not on the frame on screen."""
        objects, frame = self._stood.objects, self.frame
        return frozenset(status.object_id for status in objects if frame in status.absent)

    def mark_absent(self, objects: Sequence[int]) -> None:
        """Say that objects are not on the frame on screen; once more takes it back.

        Raises
        ------
        PromptError
            If none of them has been pointed at.
        """
        known, frame = self._known(objects), self.frame
        if not known:
            raise PromptError("Choose an object that was clicked on, on a frame where it is.")
        absent = not self.not_here.issuperset(known)
        self._put(object_jobs.absent_job(known, frame, absent))

    def take_prompts(self, layer: Layer) -> None:
        """Prompt with what is in a layer of the user's; raises `SamI2VError`."""
        stage = self._open_stage()
        prompts = prompts_from_layer(
            stage.image, stage.axes, layer, frame=self.frame, taken=self._taken()
        )
        name = f"prompts of “{layer.name}”"
        number = self._put(object_jobs.given_job(prompts, name))
        self._pending.promise(number, {prompt.object_id for prompt in prompts})

    def _on_prompts(self) -> None:
        """The user edited the prompt layers: answer what changed."""
        if self._stage is None:
            return
        said = self._stage.prompts.read()
        for problem in self._stage.prompts.problems:
            self._warn(problem)
        shown, self._shown = self._shown, said
        for key in sorted({*said, *shown}):
            edit = Edit(key, shown.get(key, ()), said.get(key, ()))
            if not same_rounds(edit.before, edit.after):
                job = object_jobs.prompts_job((edit,), self._open_desk().wanted)
                self._pending.note_edit(self._put(job), edit)

    def _on_paint(self, event: Any) -> None:
        """Wait until napari has written the pixels: it may tell of them before."""
        self.painted.emit()

    def take_stroke(self) -> None:
        """Make mask prompts of what the brush, the eraser or the bucket did.

        To be called after `painted`, once napari is done with the event that it came from.
        """
        stroke = None if self._stage is None else self._stage.stroke()
        if stroke is not None:
            self._put(object_jobs.painted_job(stroke))

    def undo(self) -> None:
        """Take the last change back; while tracking that would be the pass, and nothing is done."""
        if self._idle_or("Cancel first, then undo."):
            self._put(object_jobs.undo_job())

    def redo(self) -> None:
        """Make the change again that was undone last; nothing is done while tracking."""
        if self._idle_or("Cancel first, then redo."):
            self._put(object_jobs.redo_job())

    def _idle_or(self, advice: str) -> bool:
        """Whether no pass is under way; else what to do first is said."""
        if self.tracking:
            self._warn(advice)  # no note: its line shows the progress now
        return not self.tracking

    @property
    def undo_name(self) -> str | None:
        """What `undo` takes back; None if nothing."""
        return self._stood.undo

    @property
    def redo_name(self) -> str | None:
        """What `redo` makes again; None if nothing."""
        return self._stood.redo

    # ---- propagating ------------------------------------------------------------------------

    def propagate(
        self,
        *,
        direction: Direction = "forward",
        objects: Sequence[int] | None = None,
        span: Literal["movie", "here"] | range = "movie",
        until: Until = "end",
    ) -> None:
        """Track; goes on where a pass was stopped.

        Parameters
        ----------
        direction
            Forward, backward, or both ways from each object's prompts.
        objects
            Which; None for all that are not locked.
        span
            The whole movie: what is to be done there. "here" or a range of frames: those frames
            anew, from the frame on screen on, in the direction of the pass.
        until
            "prompted": each object stops before its next prompted or locked frame.

        Raises
        ------
        PromptError
            If there is nothing to track.
        """
        desk = self._open_desk()
        prompted = any(status.prompts for status in self._stood.objects) or self._shown
        if not prompted and not self.busy:
            raise PromptError("Click on each object once, on any frame, then track.")
        n_frames, frame = self.n_frames, self.frame
        frames = span if isinstance(span, range) else None
        if span == "here" and direction != "both":
            frames = range(frame, n_frames) if direction == "forward" else range(frame + 1)
        desk.begin(
            PassRequest(
                direction,
                None if objects is None else tuple(objects),
                frames,
                until,
                anew=frames is not None,
            )
        )
        self._want_work()

    def cancel(self) -> None:
        """Stop the pass after the frame in work; finished frames stay."""
        if self._desk is not None:
            self._desk.cancel()

    @property
    def busy(self) -> bool:
        """Whether a worker has something to do, or did something that is not shown yet."""
        return self._at_work

    @property
    def tracking(self) -> bool:
        """Whether a pass is under way."""
        return self._desk is not None and self._desk.tracking

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done, frames to do."""
        return self._progress

    @property
    def progress_text(self) -> str:
        """Progress in words, with pace and time left."""
        return str(self._pace)

    # ---- reviewing --------------------------------------------------------------------------

    def curves(self, objects: Iterable[int]) -> list[Curves]:
        """Return confidence and area over time of objects that have answers."""
        if self._desk is None or self._desk.bench is None:
            return []
        table = self._desk.bench.session.confidence
        prompted = {status.object_id: status.prompted for status in self._stood.objects}
        return [
            curves_of(i, table.sureness(i), area=table.area(i), prompted=prompted[i])
            for i in objects
            if i in prompted
        ]

    def next_suspicious(self, step: int) -> None:
        """Go to the next (1) or previous (-1) frame that is worth a look."""
        everything = [status.object_id for status in self._stood.objects]
        found = next_suspicious(self.curves(everything), self.frame, 1 if step > 0 else -1)
        if found is None:
            self._tell("No doubtful frame " + ("after" if step > 0 else "before") + " this.")
            return
        frame, self.current_object = found
        self.go_to(frame)
        self._tell(f"Frame {frame}: look at object {self._current}.")

    @property
    def n_frames(self) -> int:
        """Length of the open movie; 0 without one."""
        return 0 if self._stage is None else self._stage.axes.shape[0]

    @property
    def frame(self) -> int:
        """The movie's frame on screen."""
        return 0 if self._stage is None else self._stage.frame

    def go_to(self, frame: int) -> None:
        """Show a frame of the movie."""
        if self._stage is not None:
            self._stage.go_to(frame)

    def draw(self, *, follow: bool) -> None:
        """Show what was written since the last call; with `follow`, go to the latest frame.

        Not while the mouse is pressed: a box or a stroke would go over several frames.
        """
        stage = self._stage
        if stage is None:
            return
        if not stage.held:
            latest, self._latest = self._latest, None
            if follow and latest is not None:
                stage.go_to(latest)
        undrawn, self._undrawn = self._undrawn, set()
        if undrawn:
            stage.redraw(undrawn)

    # ---- keeping ----------------------------------------------------------------------------

    def save_labels(self, path: str | Path) -> None:
        """Save the labels as .tif or .zarr."""
        self._put(exports.labels_job(Path(path), self._kept_now()))

    def save_prompts(self, path: str | Path) -> None:
        """Save the prompts as .json or .csv, for the command line."""
        self._put(exports.prompts_job(Path(path)))

    def save_measurements(self, path: str | Path) -> None:
        """Save a row per object and frame as .csv."""
        self._put(exports.measurements_job(Path(path), self._kept_now()))

    def save_export(self, to: str, path: str | Path) -> None:
        """Save in one of `exports.FORMATS`."""
        self._put(exports.export_job(to, Path(path), self._kept_now()))

    def add_tracks(self) -> None:
        """Add a Tracks layer with lineage; raises `InputError` if it cannot have all axes."""
        stage = self._open_stage()
        self._put(exports.tracks_job(stage.image, stage.axes, self._kept_now()))

    # ---- the worker -------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Work, on a worker's thread; `handle` takes what is yielded, on the main thread."""
        yield from self._open_desk().run()

    @property
    def has_work(self) -> bool:
        """Whether a worker is needed."""
        return self._desk is not None and self._desk.has_work

    def handle(self, event: object) -> None:
        """Take an event of the worker, on the main thread."""
        if self._desk is None:
            return
        if isinstance(event, Wrote):
            self._undrawn.update(event.frames)
        elif isinstance(event, Passed):
            self._on_passed(event)
        elif isinstance(event, Stood):
            self._on_stood(event)
        elif isinstance(event, Said):
            self._on_said(event)
        elif isinstance(event, Found):
            self._on_found(event)

    def failed(self, error: Exception) -> None:
        """Take an error that ended the worker."""
        self._warn(str(error))
        if self._desk is not None and self._desk.bench is None:
            self.close()  # the model could not be loaded
        self.objects_changed.emit()  # nothing is being tracked any more

    def finished(self) -> None:
        """Note that the worker has ended, and that all it did was handled."""
        if self._farewell:
            self._leave()
        self._set_at_work(self.has_work)

    def _on_passed(self, event: Passed) -> None:
        if event.frame < 0:
            self._pace = Pace(event.total)
        else:
            self._pace.tick()
            self._undrawn.add(event.frame)
            self._latest = event.frame
        self._progress = (event.done, event.total)
        self.progress_changed.emit()

    def _on_stood(self, event: Stood) -> None:
        was_there = self._current in self._known_to_worker()
        self._stood = event
        self._pending.done(event.done)
        if event.show and self._stage is not None:
            self._stage.prompts.show(self._pending.done_to(event.prompts))
            self._shown = self._stage.prompts.read()
        gone = was_there and self._current not in self._taken()
        if gone and self._current > self._free_id():
            self.current_object = self._free_id()  # as a daughter's, when a division is undone
        self.objects_changed.emit()
        self.history_changed.emit()
        self.curves_changed.emit()

    def _on_said(self, event: Said) -> None:
        if event.text or not event.passing or self._said_passing:
            (self._warn if event.problem else self._tell)(event.text, passing=event.passing)

    def _tell(self, text: str, *, passing: bool = False) -> None:
        """Say something; what is `passing` is taken back by the next answer, nothing else is."""
        self._said_passing = passing
        self.note.emit(text)

    def _warn(self, text: str, *, passing: bool = False) -> None:
        """Say something that asks to do something."""
        self._said_passing = passing
        self.problem.emit(text)

    def _on_found(self, event: Found) -> None:
        if event.name == "tracks" and self._stage is not None:
            stage, kept = self._stage, self._kept_now()
            exports.show_tracks(self.viewer, stage.image, stage.axes, event.value, kept.folder.path)
        elif event.name == "current":
            if self._current == self._at_division:
                self.current_object = self._at_division = event.value
        elif event.name == "divisions":
            self._proposals = event.value
            self._say_proposals()

    def _say_proposals(self) -> None:
        found = self.proposals
        if not found:
            self._tell("No object falls into two lasting parts.")
            return
        self.show_proposal(found[0])
        more = "" if len(found) == 1 else f" {len(found) - 1} more: see More ▸ Possible divisions."
        self._tell(f"Object {found[0].object_id} may divide on frame {found[0].frame}.{more}")

    def _put(self, job: Job) -> int:
        number = self._open_desk().put(job)
        self._want_work()
        return number

    def _want_work(self) -> None:
        self._set_at_work(True)
        self.work_wanted.emit()

    def _set_at_work(self, at_work: bool) -> None:
        if at_work != self._at_work:
            self._at_work = at_work
            self.busy_changed.emit(at_work)
            if not at_work:
                self.objects_changed.emit()  # "tracking" is no state of theirs any more

    def _open_desk(self) -> Desk:
        if self._desk is None:
            raise InputError("Open a movie first.")
        return self._desk

    def _kept_now(self) -> Kept:
        if self._kept is None:
            raise InputError("Open a movie first.")
        return self._kept

    def _open_stage(self) -> Stage:
        if self._stage is None:
            raise MovieError("Open a movie first, or one of File ▸ Open Sample ▸ SAM-I2V.")
        return self._stage
