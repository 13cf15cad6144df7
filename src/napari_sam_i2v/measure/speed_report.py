"""What a benchmark found, and on what machine, as tables and as JSON."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]

import napari_sam_i2v
from napari_sam_i2v.measure.speed import Speed
from napari_sam_i2v.measure.tables import Table

__all__ = ["as_json", "machine", "tables"]

NONE = "–"
MEGA, GIGA = 1e6, 1e9
LEAST_SHARE = 0.005
"""Modules with less of the time than this are left out of a table."""


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and when."""
    import torch

    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "napari-sam-i2v": str(napari_sam_i2v.__version__),
    }


def as_json(where: Mapping[str, Any], found: Sequence[Speed]) -> str:
    """Everything, as JSON: times in seconds, memory in bytes."""
    cases = [
        asdict(one)
        | {
            "frames_per_second": one.frames_per_second,
            "object_frames_per_second": one.object_frames_per_second,
        }
        for one in found
    ]
    return json.dumps({"machine": dict(where), "cases": cases}, indent=1, allow_nan=False) + "\n"


def tables(where: Mapping[str, Any], found: Sequence[Speed]) -> list[Table]:
    """One row per case, the arithmetic of each model, and profiles where they were taken."""
    counted = {one.model["name"]: one for one in found if one.flops_shared is not None}
    title = f"{where['processor']}, {where['cores']} cores, torch {where['torch']}, {where['date']}"
    result = [Table(title, [c.name for c in _COLUMNS], [_row(one) for one in found])]
    if counted:
        result.append(_costs(list(counted.values())))
    return result + [_profile(one) for one in found if one.profile]


@dataclass(frozen=True)
class _Column:
    name: str
    value: Callable[[Speed], float | int | str | None]
    digits: int = 0


_COLUMNS = (
    _Column("model", lambda s: s.model["name"]),
    _Column("device", lambda s: f"{s.device} {s.precision}"),
    _Column("threads", lambda s: s.threads),
    _Column("objects", lambda s: s.objects),
    _Column("pixels", lambda s: f"{s.size}²"),
    _Column("frames", lambda s: s.frames),
    _Column("encode ms", lambda s: 1000 * s.encode, 1),
    _Column("per object ms", lambda s: 1000 * s.object_step, 1),
    _Column("click, new frame ms", lambda s: 1000 * s.click_new),
    _Column("known ms", lambda s: 1000 * s.click_known),
    _Column("first frame s", lambda s: s.first_frame, 1),
    _Column("frames/s", lambda s: s.frames_per_second, 2),
    _Column("object-frames/s", lambda s: s.object_frames_per_second, 1),
    _Column("peak MB", lambda s: s.host_peak / MEGA),
    _Column("device MB", lambda s: None if s.device_peak is None else s.device_peak / MEGA),
    _Column("bytes/frame", lambda s: s.bytes_per_frame),
)


def _row(one: Speed) -> list[str]:
    return [_text(column.value(one), column.digits) for column in _COLUMNS]


def _text(value: float | int | str | None, digits: int = 0) -> str:
    if value is None:
        return NONE
    return value if isinstance(value, str) else f"{value:.{digits}f}"


def _costs(found: Sequence[Speed]) -> Table:
    def row(one: Speed) -> list[str]:
        shared, each = (one.flops_shared or 0) / GIGA, (one.flops_per_object or 0) / GIGA
        sha256 = str(one.model.get("sha256") or NONE)[:12]
        return [one.model["name"], sha256, f"{shared:.2f}", f"{each:.2f}", f"{shared + each:.2f}"]

    return Table(
        "GFLOP of a frame, with full memory",
        ("model", "SHA-256", "shared", "per object", "one object"),
        [row(one) for one in found],
    )


def _profile(one: Speed) -> Table:
    shares = one.profile or {}
    return Table(
        f"Where time goes: {one.model['name']}, {one.objects} objects, {one.size}² pixels",
        ("module", "share"),
        [[name, f"{share:.1%}"] for name, share in shares.items() if share >= LEAST_SHARE],
    )


def _processor() -> str:
    """Name of the processor, as its maker has it where the system tells."""
    from napari_sam_i2v.network.device import processor_facts

    for line in processor_facts().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
