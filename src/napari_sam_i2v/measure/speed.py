"""How fast tracking is and what memory it takes, each case in a process of its own.

A process of its own, because the peak of a process's memory never goes down again, and because
what one case leaves in caches would help the next.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import torch

    from napari_sam_i2v.job import Job
    from napari_sam_i2v.movies.labels import LabelStore
    from napari_sam_i2v.network.sam_i2v import SamI2V

__all__ = ["Case", "Speed", "measure", "measure_apart", "slope"]

SETTLED = 50
"""Frames after which memory is expected not to grow any more."""
REPEATS = 5
AT_ONCE = 8
"""Objects of the batch whose step is timed, at most."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured.

    Attributes
    ----------
    movie
        OME-Zarr of `measure.made_movie.write_movie`.
    model, device, precision
        As `load_model`, `resolve_device` and `resolve_precision` take them.
    objects, size, frames
        Of the movie; `size` is the side of a frame in pixels.
    threads
        Of torch on the CPU; torch's choice where not given.
    flops, profile
        Whether to count operations, and to sample where time goes; both take more time, after
        or while the movie is tracked.
    """

    movie: str
    model: str = "default"
    device: str = "auto"
    precision: str = "auto"
    objects: int
    size: int
    frames: int
    threads: int | None = None
    flops: bool = False
    profile: bool = False


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was found; times in seconds, memory in bytes.

    Attributes
    ----------
    model
        Name, variant and SHA-256 of the weights.
    device, device_name, precision, threads
        What the network ran on, resolved.
    objects, size, frames
        Of the case.
    encode
        One view of one new frame, median.
    object_step
        Tracking and remembering one object that looks back to a full memory, in a batch.
    click_new, click_known
        From a click to the mask in the label store, median: on a frame that was not looked at
        before, and on one whose features are known.
    seconds, first_frame
        The whole pass, from reading the first pixel to writing the last label, and its share
        until the first frame was out: the prompts are answered in it.
    host_peak, device_peak
        Most memory of the process, and most that torch had allocated on the device.
    bytes_per_frame
        By how much the process grew with each frame after the first 50; None for short movies.
    flops_shared, flops_per_object
        Of one frame, see `measure.costs`; None where they were not counted.
    profile
        Module -> share of the samples, 0 .. 1; see `measure.sampling`.
    """

    model: dict[str, Any]
    device: str
    device_name: str
    precision: str
    threads: int
    objects: int
    size: int
    frames: int
    encode: float
    object_step: float
    click_new: float
    click_known: float
    seconds: float
    first_frame: float
    host_peak: int
    device_peak: int | None
    bytes_per_frame: float | None
    flops_shared: int | None
    flops_per_object: int | None
    profile: dict[str, float] | None

    @property
    def frames_per_second(self) -> float:
        """Of the whole pass, reading and writing included."""
        return self.frames / self.seconds

    @property
    def object_frames_per_second(self) -> float:
        """Frames per second times objects."""
        return self.objects * self.frames_per_second


def measure_apart(case: Case) -> Speed:
    """Measure a case in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails; the message ends with the last line of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "speed.json"
        command = [sys.executable, "-m", __name__, json.dumps(asdict(case)), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = None if done.returncode else json.loads(answer.read_text(encoding="utf-8"))
    if found is None:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(
            f"{case.model}, {case.objects} objects, {case.size} x {case.size} pixels cannot be "
            f"measured: {lines[-1]}"
        )
    return Speed(**found)


def measure(case: Case) -> Speed:
    """Measure a case in this process."""
    import torch

    from napari_sam_i2v.job import Settings, make_job
    from napari_sam_i2v.measure.made_movie import clicks
    from napari_sam_i2v.measure.sampling import sampled
    from napari_sam_i2v.movies.movie import open_movie
    from napari_sam_i2v.network.device import resolve_device, resolve_precision

    if case.threads:
        torch.set_num_threads(case.threads)
    device = resolve_device(case.device)
    settings = Settings(model=case.model, device=case.device, precision=case.precision)
    job = make_job(open_movie(case.movie), clicks(case.size, case.objects), settings)
    with sampled(wanted=case.profile) as shares:
        seconds, first, growth = _pass(job)
    host, on_device = peak_memory(), _device_peak(device)  # before anything else adds to it
    encode, step = _parts(job, device)
    new, known = _clicks(job)
    flops = _flops(job.network) if case.flops else (None, None)
    return Speed(
        model=job.model, device=device.type, device_name=_device_name(device),
        precision=resolve_precision(case.precision, device), threads=torch.get_num_threads(),
        objects=case.objects, size=case.size, frames=case.frames,
        encode=encode, object_step=step, click_new=new, click_known=known,
        seconds=seconds, first_frame=first, host_peak=host, device_peak=on_device,
        bytes_per_frame=growth, flops_shared=flops[0], flops_per_object=flops[1],
        profile=shares if case.profile else None,
    )  # fmt: skip


# ---- the parts of a frame ---------------------------------------------------------------------


def _parts(job: Job, device: torch.device) -> tuple[float, float]:
    """Seconds to encode one view, and for one object's step with full memory."""
    from napari_sam_i2v.measure.parts import Parts

    parts, finish, at_once = Parts(job), _waiting(device), min(AT_ONCE, len(job.prompts))
    encodes = [partial(parts.encode, t) for t in range(min(REPEATS + 1, parts.n_frames))]
    encode = _median_time(encodes, finish)
    step = _median_time([parts.step(at_once)] * REPEATS, finish) / at_once
    parts.close()
    return encode, step


def _clicks(job: Job) -> tuple[float, float]:
    """Seconds from a click to its mask on disk: on a new frame, and once more on the same."""
    from napari_sam_i2v.propagation.session import Session

    chosen = job.settings
    new: list[float] = []
    known: list[float] = []
    with _new_labels(job) as labels:
        session = Session(
            job.movie, model=job.network, device=chosen.device, precision=chosen.precision,
            labels=labels,
        )  # fmt: skip
        for frame in range(min(REPEATS + 1, session.n_frames)):
            place = np.asarray(job.prompts[frame % len(job.prompts)].points)
            for taken, shift in ((new, 0.0), (known, 2.0)):
                begin = time.perf_counter()
                session.add_points(frame + 1, frame, points=place + shift)
                taken.append(time.perf_counter() - begin)
    return _median(new), _median(known)


@contextmanager
def _new_labels(job: Job) -> Iterator[LabelStore]:
    """A label store that is gone afterwards."""
    from napari_sam_i2v.movies.labels import LabelStore

    with tempfile.TemporaryDirectory() as folder:
        yield LabelStore.create(Path(folder) / "labels.zarr", shape=job.shape)


def _median_time(calls: Sequence[Callable[[], Any]], finish: Callable[[], None]) -> float:
    taken = []
    for call in calls:
        begin = time.perf_counter()
        call()
        finish()
        taken.append(time.perf_counter() - begin)
    return _median(taken)


def _median(taken: Sequence[float]) -> float:
    """Median of seconds but the first, which warms up, if there are others."""
    return statistics.median(taken[1:] or taken)


def _waiting(device: torch.device) -> Callable[[], None]:
    """What waits until a device has done all that it was told to do: accelerators lag behind."""
    import torch

    if device.type == "cuda":
        return partial(torch.cuda.synchronize, device)
    return torch.mps.synchronize if device.type == "mps" else _nothing


def _nothing() -> None:
    pass


# ---- the whole pass ---------------------------------------------------------------------------


def _pass(job: Job) -> tuple[float, float, float | None]:
    """Seconds of a pass over the movie and until its first frame; growth in bytes a frame."""
    process, begin = psutil.Process(), time.perf_counter()
    at: list[float] = []
    resident: list[int] = []
    with _new_labels(job) as labels:
        for _ in job.with_contrast().run(labels):
            at.append(time.perf_counter() - begin)
            resident.append(process.memory_info().rss)
    return at[-1], at[0], slope(resident)


def slope(resident: Sequence[int], settled: int = SETTLED) -> float | None:
    """Bytes by which memory grows with each frame after the first `settled`; None if none are.

    Of a straight line through all of them, so that a single leap counts little.
    """
    late = resident[settled:]
    if len(late) < 2:
        return None
    return float(np.polyfit(np.arange(len(late)), np.asarray(late, float), 1)[0])


def peak_memory() -> int:
    """Most bytes of memory that this process has had.

    On Linux from its own record: what `getrusage` says goes back to the program that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device_peak(device: torch.device) -> int | None:
    import torch

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _flops(network: SamI2V) -> tuple[int, int]:
    from napari_sam_i2v.measure.costs import frame_costs

    found = frame_costs(network)
    return found.shared, found.per_object


if __name__ == "__main__":
    speed = json.dumps(asdict(measure(Case(**json.loads(sys.argv[1])))))
    Path(sys.argv[2]).write_text(speed, encoding="utf-8")
