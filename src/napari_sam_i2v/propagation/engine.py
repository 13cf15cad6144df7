"""The network at work on frames and views: the one place where movie pixels meet tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.errors import DeviceError
from napari_sam_i2v.network.device import Precision, autocast
from napari_sam_i2v.network.memory_filter import Selection
from napari_sam_i2v.network.prompt_encoder import BOX_CORNERS
from napari_sam_i2v.network.sam_i2v import ABSENT, LOGIT_CLAMP, MASK_LOGIT, Decoded, SamI2V
from napari_sam_i2v.network.temporal import clip_indices
from napari_sam_i2v.propagation.ahead import Lookahead
from napari_sam_i2v.propagation.answer import Answer, fill_holes
from napari_sam_i2v.propagation.choosing import fitting_masks, steady_masks
from napari_sam_i2v.propagation.frames import FrameSource
from napari_sam_i2v.propagation.memory_bank import (
    MemoryBank,
    MemoryEntry,
    fingerprint,
    stack_memories,
)
from napari_sam_i2v.propagation.obeying import obeying
from napari_sam_i2v.propagation.prompts import Prompt, confines
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View

__all__ = ["Engine"]

TOKENS_AT_ONCE = 2**17
"""Memory tokens attended to in one batch: bounds temporaries to some hundred MB."""
PIXELS_AT_ONCE = 2**20
"""Network input pixels encoded in one batch."""
PIXELS_AHEAD = 2**16
"""Input pixels of networks that are small enough for two frames to be worked on at a time."""
MOST_AT_ONCE = 2**16
"""Objects in one batch, whatever their size; less once a device had not enough memory."""
KEPT_FRAMES = 4
"""Frames whose features are kept: clicks mostly go to a frame that is looked at already."""
KEPT_BYTES = 2**26
"""Size of the features that are kept, at most."""
KEPT_TAPS = 2**27
"""Bytes of what frames add to clips that are kept, at most."""

_Value = TypeVar("_Value")
_Item = TypeVar("_Item")
_BySource: TypeAlias = WeakKeyDictionary[FrameSource, _Value]


class Engine:
    """Encode views, answer prompts, track and remember, in batches of bounded size.

    Parameters
    ----------
    model
        In evaluation mode, on its device.
    precision
        Arithmetic of the network.
    published
        Choose among the masks that the network offers by what it says of them alone, as
        published, and not by how they go with prompts and with the past, too.
    """

    def __init__(
        self, model: SamI2V, precision: Precision = "fp32", *, published: bool = False
    ) -> None:
        self.model, self.precision, self.published = model, precision, published
        self.config = model.config
        self._most = MOST_AT_ONCE
        self.ahead = Lookahead()
        # All go with the source.
        self._features: _BySource[OrderedDict[int, dict[View, Tensor]]] = WeakKeyDictionary()
        self._foreseen: _BySource[tuple[int, dict[View, Tensor]]] = WeakKeyDictionary()
        # What a frame adds to a clip is kept for the next clips through the same view, by how many
        # threads it was computed.
        self._taps: _BySource[dict[int, dict[tuple[View, int], Tensor]]] = WeakKeyDictionary()

    def encode(
        self, source: FrameSource, index: int, views: Sequence[View], *, beside: bool = False
    ) -> list[Tensor]:
        """Video features (hidden_dim, h, w) of a frame through each view.

        Equal views share one. What was encoded lately is not encoded again.

        Parameters
        ----------
        source, index
            The frame.
        views
            Through which it is looked at.
        beside
            Take what was foreseen, and encode the rest on the thread that looks ahead: the last
            bits, which differ by the number of threads, must not depend on what was foreseen.
        """
        self.ahead.wait()
        at, foreseen = self._foreseen.pop(source, (index, {}))
        if not beside:
            return self._encode(source, index, views, {})
        known = foreseen if at == index else {}
        return self.ahead.do(lambda: self._encode(source, index, views, known))

    @property
    def foresees(self) -> bool:
        """Whether a frame can be encoded beside another, and that is worth while.

        It is not on an accelerator, with one thread, or where the network is so large that it
        keeps all threads busy by itself.
        """
        small = self.config.image_size**2 <= PIXELS_AHEAD
        return small and self.ahead.threads > 1 and self.model.device.type == "cpu"

    def foreseeing(
        self, source: FrameSource, index: int, views: Callable[[], Sequence[View]] | None
    ) -> AbstractContextManager[None]:
        """Encode a frame beside what is done meanwhile, on half of the threads each.

        Parameters
        ----------
        source, index
            The frame.
        views
            Gives what it will probably be looked at through, on the other thread; None if
            nothing is to be encoded.
        """

        def foresee(views: Callable[[], Sequence[View]]) -> None:
            found = {
                view: self._fitting([view], lambda one: self._encoded(source, index, one))[0]
                for view in views()
            }
            self._foreseen[source] = index, found

        return self.ahead.doing(None if views is None else lambda: foresee(views))

    def _encode(
        self, source: FrameSource, index: int, views: Sequence[View], known: dict[View, Tensor]
    ) -> list[Tensor]:
        """Features of a frame through each view, of which some may be known."""
        kept = self._features.setdefault(source, OrderedDict())
        features = kept.setdefault(index, {})
        features.update(known)
        kept.move_to_end(index)
        missing = [view for view in dict.fromkeys(views) if view not in features]
        whole = View.whole(source.shape)
        batches = [[whole]] if whole in missing else []
        windows = [view for view in missing if view != whole]
        batch = max(1, PIXELS_AT_ONCE // self.config.image_size**2)
        batches += [windows[i : i + batch] for i in range(0, len(windows), batch)]
        for some in batches:
            encoded = self._fitting(some, lambda part: self._encoded(source, index, part))
            features.update(zip(some, encoded, strict=True))
        found = [features[view] for view in views]
        while len(kept) > KEPT_FRAMES or (kept and _size(kept.values()) > KEPT_BYTES):
            kept.popitem(last=False)
        return found

    def forget(self, source: FrameSource) -> None:
        """Drop the features that are kept: what is encoded next does not depend on the past."""
        self.ahead.wait()
        for kept in (self._features, self._foreseen, self._taps):
            kept.pop(source, None)

    def _encoded(self, source: FrameSource, index: int, views: Sequence[View]) -> Tensor:
        """Features (len(views), hidden_dim, h, w) of a batch of views."""
        indices = clip_indices(index, self.config.clip_length)
        kept = self._taps.setdefault(source, {})
        for old in kept.keys() - {*indices}:
            del kept[old]
        newest = self._images(source, index, views)
        taps = {i: self._taps_of(source, i, views) for i in {*indices} - {index}}
        taps[index] = self._taps_of(source, index, views, newest)
        clip = [torch.stack(taps[i]) for i in indices]
        return self.model.encode_frame(newest[:, :, None], taps=clip).float()

    def _taps_of(
        self,
        source: FrameSource,
        index: int,
        views: Sequence[View],
        images: Tensor | None = None,
    ) -> list[Tensor]:
        """What a frame adds to clips through each view; `images` of it where they are there.

        One by one: the last bits must not depend on what else is looked at.
        """
        kept = self._taps[source]
        known, threads = kept.setdefault(index, {}), torch.get_num_threads()
        found = []
        for k, view in enumerate(views):
            taps = known.get((view, threads))
            if taps is None:
                image = self._images(source, index, [view]) if images is None else images[k : k + 1]
                taps = self.model.stem_taps(image)[0]
                if taps.nbytes * (1 + sum(map(len, kept.values()))) <= KEPT_TAPS:
                    known[view, threads] = taps
            found.append(taps)
        return found

    def _images(self, source: FrameSource, index: int, views: Sequence[View]) -> Tensor:
        """What the network sees of a frame, (len(views), 3, S, S)."""
        return source.clip([index], views)[:, :, 0].to(self.model.device)

    def prompt(
        self,
        feature: Tensor,
        rounds: Sequence[Prompt],
        view: View,
        *,
        recalled: tuple[MemoryBank, Selection] | None = None,
        previous: Tensor | None = None,
    ) -> Answer:
        """Answer rounds of prompts one after the other, each seeing the answer before it.

        Parameters
        ----------
        feature
            (hidden_dim, h, w) of the frame through `view`.
        rounds
            Of one object on one frame.
        recalled
            Memory, where the prompts correct a tracked frame.
        previous
            (1, m, m) logits to be corrected.
        """
        return self.offers(feature, rounds, view, recalled=recalled, previous=previous)[0]

    def offers(
        self,
        feature: Tensor,
        rounds: Sequence[Prompt],
        view: View,
        *,
        recalled: tuple[MemoryBank, Selection] | None = None,
        previous: Tensor | None = None,
    ) -> list[Answer]:
        """Answer as `prompt` does, and give all masks that may be meant, the likeliest first.

        There is just one where a mask was given, or masks are chosen as published.
        """
        if not rounds:
            raise ValueError("At least one round of prompts is required.")

        def answered(batch: Sequence[Sequence[Prompt]]) -> list[list[Answer]]:
            return [self._prompted(feature, one, view, recalled, previous) for one in batch]

        return self._fitting([rounds], answered)[0]

    def _prompted(
        self,
        feature: Tensor,
        rounds: Sequence[Prompt],
        view: View,
        recalled: tuple[MemoryBank, Selection] | None,
        previous: Tensor | None,
    ) -> list[Answer]:
        memory = None if recalled is None else stack_memories([recalled[0]], [recalled[1]])
        points = torch.zeros(1, 0, 2)
        labels = torch.zeros(1, 0, dtype=torch.long)
        answers: list[Answer] = []
        for count, prompt in enumerate(rounds, start=1):
            if answers:
                best = answers[0] if self.published else obeying(answers[0], rounds[: count - 1])
                previous = best.low
            within = None if self.published else confines(rounds[:count])
            if prompt.mask is not None:
                offered = [self._given_mask(feature, prompt.mask, view)]
            else:
                more, kinds = self._network_points(prompt, view)
                points = torch.cat((points, more), dim=1)
                labels = torch.cat((labels, kinds), dim=1)
                decoded = self.model.decode_prompts(
                    feature[None],
                    points.to(feature.device),
                    labels.to(feature.device),
                    mask_logits=_as_prompt(previous),
                    memory=memory,
                )
                offered = [decoded]
                if decoded.raw is not None and not self.published:
                    scale = self.config.mask_size / self.config.image_size
                    fitting = fitting_masks(
                        decoded.raw, points[0].numpy() * scale, labels[0].numpy(),
                        confined=within is not None,
                    )  # fmt: skip
                    offered = [self.model.choose(decoded.raw, one) for one in fitting.split(1)]
            answers = [replace(self._answers(one, [view])[0], within=within) for one in offered]
        return answers

    def try_views(
        self, source: FrameSource, index: int, prompt: Prompt, views: Sequence[View]
    ) -> list[tuple[View, Tensor, Tensor, float]]:
        """Answer one round of points through several views at once.

        Returns
        -------
        list
            Per view: the view, candidate logits (3, m, m), their predicted IoUs (3,) and the
            object score.
        """
        features = torch.stack(self.encode(source, index, views))
        prepared = [self._network_points(prompt, view) for view in views]
        points = torch.cat([p for p, _ in prepared]).to(features.device)
        labels = torch.cat([k for _, k in prepared]).to(features.device)

        def tried(part: Sequence[int]) -> list[tuple[View, Tensor, Tensor, float]]:
            some = list(part)
            decoded = self.model.decode_prompts(
                features[some], points[some], labels[some], multimask=True
            )
            if decoded.raw is None:
                raise TypeError("Prompts give raw masks.")
            masks, ious = decoded.raw.masks[:, 1:].float(), decoded.raw.ious[:, 1:].float()
            return list(zip([views[i] for i in some], masks, ious,
                            decoded.score[:, 0].tolist(), strict=True))  # fmt: skip

        return self._fitting(range(len(views)), tried)

    def click(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        places: NDArray[np.floating],
        recalled: Sequence[tuple[MemoryBank, Selection]] | None = None,
    ) -> list[Answer]:
        """Answer one positive click for each of several objects.

        Parameters
        ----------
        features, views
            Of the frame, for each object.
        places
            (N, 2) of the clicks, (y, x) in movie pixels.
        recalled
            Memories, where what is remembered is to be taken into account.
        """

        def found(chunk: Sequence[int]) -> list[Answer]:
            some = [views[i] for i in chunk]
            points = [view.to_network(places[i][None], self.config.image_size)
                      for i, view in zip(chunk, some, strict=True)]  # fmt: skip
            feature = torch.stack([features[i] for i in chunk])
            memory = None
            if recalled is not None:
                memory = stack_memories(*zip(*(recalled[i] for i in chunk), strict=True))
            decoded = self.model.decode_prompts(
                feature,
                torch.from_numpy(np.stack(points)).to(feature.device),
                torch.ones(len(chunk), 1, dtype=torch.long, device=feature.device),
                memory=memory,
            )
            return self._answers(decoded, some)

        return self._batched(features, self._at_once(recalled or ()), found)

    def _at_once(self, recalled: Sequence[tuple[MemoryBank, Selection]]) -> int:
        """How many objects are answered at a time, given what they remember."""
        tokens = max((len(s.frames) for _, s in recalled), default=1) * self.config.feature_size**2
        return max(1, min(TOKENS_AT_ONCE // tokens, 32))

    def track(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        recalled: Sequence[tuple[MemoryBank, Selection]],
        seen: Sequence[Seen | None],
        handed: Sequence[NDArray[np.float32] | None] = (),
    ) -> list[Answer]:
        """Find objects on a frame from what each remembers.

        Parameters
        ----------
        features, views
            Of the frame, for each object.
        recalled
            Memories.
        seen
            Where each was seen last: of the network's candidates, the one is chosen that goes
            with that, too.
        handed
            Masks of the frame before, shares (m, m) of each pixel of mask logits; None where the
            object was not seen there. None at all for networks that do not hand over.
        """

        def found(chunk: Sequence[int]) -> list[Answer]:
            banks, chosen = zip(*(recalled[i] for i in chunk), strict=True)
            masks = self._as_handed([handed[i] for i in chunk] if handed else ())
            memory = stack_memories(banks, chosen)
            decoded = self.model.track(_stacked(features, chunk), memory, masks)
            some = [views[i] for i in chunk]
            if decoded.raw is not None and not self.published:
                steady = steady_masks(decoded.raw, some, [seen[i] for i in chunk])
                decoded = self.model.choose(decoded.raw, steady)
            return self._answers(decoded, some)

        return self._batched(features, self._at_once(recalled), found)

    def _as_handed(self, shares: Sequence[NDArray[np.float32] | None]) -> Tensor | None:
        """Mask logits (B, 1, m, m) of masks that are handed over; None if none is."""
        if not self.config.fine_dim or all(share is None for share in shares):
            return None
        nothing = np.zeros((self.config.mask_size,) * 2, np.float32)
        masks = np.stack([nothing if share is None else share for share in shares])
        logits = torch.from_numpy(masks[:, None] * (2 * MASK_LOGIT) - MASK_LOGIT)
        return logits.to(self.model.device)

    def remember(
        self, features: Sequence[Tensor], answers: Sequence[Answer], *, prompted: bool
    ) -> list[MemoryEntry]:
        """Encode answers as memories."""
        marks: dict[int, Tensor] = {}  # objects in one view share a feature, and its fingerprint

        def encoded(chunk: Sequence[int]) -> list[MemoryEntry]:
            some, feature = [answers[i] for i in chunk], _stacked(features, chunk)
            # A prompted frame is remembered as it was shown, a tracked one as it was computed.
            logits = torch.stack([a.low if prompted else a.stored for a in some])
            score = torch.tensor([[a.score] for a in some], device=feature.device)
            high = self.model.upsample(logits)
            spatial = self.model.remember(feature, high, score, prompted=prompted).bfloat16()
            foreground = self.model.foreground(torch.stack([a.low for a in some]))
            for i in chunk:
                if id(features[i]) not in marks:
                    marks[id(features[i])] = fingerprint(features[i], self.config.hidden_dim)
            return [
                MemoryEntry(spatial[k], foreground[k], answers[i].pointer, marks[id(features[i])])
                for k, i in enumerate(chunk)
            ]

        return self._batched(features, max(1, PIXELS_AT_ONCE // self.config.image_size**2), encoded)

    def _batched(
        self,
        features: Sequence[Tensor],
        size: int,
        work: Callable[[Sequence[int]], Iterable[_Value]],
    ) -> list[_Value]:
        """Do at most `size` objects at once, given by their numbers; results in their order."""
        done: dict[int, _Value] = {}
        for chunk in _batches(features, size):
            done.update(zip(chunk, self._fitting(chunk, work), strict=True))
        return [done[i] for i in range(len(features))]

    def _fitting(
        self, batch: Sequence[_Item], work: Callable[[Sequence[_Item]], Iterable[_Value]]
    ) -> list[_Value]:
        """Do a batch at once, or in halves where the device has not enough memory for that.

        Raises
        ------
        DeviceError
            If it has not enough for one.
        """
        most = min(len(batch), self._most)
        if most == len(batch):
            try:
                with torch.inference_mode(), autocast(self.model.device, self.precision):
                    return list(work(batch))
            except RuntimeError as error:
                if not _is_exhausted(error):
                    raise
                if most == 1:
                    raise DeviceError(
                        f"{self.model.device} has not enough memory for one object at a time: "
                        "close other programs, or choose a smaller model or another device "
                        "(--device cpu)."
                    ) from error
            # What was computed so far goes with the error, before it is tried again.
            most = self._most = most // 2
        parts = (batch[i : i + most] for i in range(0, len(batch), most))
        return [one for part in parts for one in self._fitting(part, work)]

    def recall_mask(self, feature: Tensor, mask: NDArray[np.bool_], view: View) -> Answer:
        """Answer of a frame whose mask (Y, X) is known, to rebuild its memory."""
        return self._fitting(
            [mask], lambda _: self._answers(self._given_mask(feature, mask, view), [view])
        )[0]

    def absent(self, answer: Answer) -> Answer:
        """Say instead of an answer that the object is not there."""
        nothing = torch.full_like(answer.low, ABSENT)
        pointer = self.model.no_obj_ptr[0].detach().to(answer.pointer)
        return replace(
            answer, low=nothing, stored=nothing, pointer=pointer, score=-abs(answer.score) - 1
        )

    def _answers(self, decoded: Decoded, views: Sequence[View]) -> list[Answer]:
        stored = decoded.low.float()
        low = fill_holes(stored, self.config.fill_hole_area)
        pointers, ious = decoded.pointer.float(), decoded.iou[:, 0].tolist()
        scores = decoded.score[:, 0].tolist()
        return [
            Answer(view, low[k], stored[k], pointers[k], scores[k], ious[k])
            for k, view in enumerate(views)
        ]

    def _given_mask(self, feature: Tensor, mask: NDArray[np.bool_], view: View) -> Decoded:
        size = (self.config.image_size,) * 2
        crop = torch.from_numpy(mask[view.slices].astype(np.float32))[None, None]
        if crop.shape[-2:] != size:
            crop = F.interpolate(crop, size=size, mode="bilinear", antialias=True)
        given = (crop >= 0.5).float().to(feature.device)
        return self.model.use_mask(feature[None], given)

    def _network_points(self, prompt: Prompt, view: View) -> tuple[Tensor, Tensor]:
        """Points (1, P, 2) in network pixels (x, y) and labels (1, P); a box is two points."""
        parts: list[NDArray[Any]] = []
        labels: list[int] = []
        if prompt.box is not None:
            parts.append(np.reshape(prompt.box, (2, 2)))
            labels += BOX_CORNERS
        if prompt.points is not None and prompt.labels is not None:
            parts.append(prompt.points)
            labels += prompt.labels.tolist()
        xy = view.to_network(np.concatenate(parts), self.config.image_size)
        return torch.from_numpy(xy)[None], torch.tensor([labels])


def _as_prompt(logits: Tensor | None) -> Tensor | None:
    return None if logits is None else logits[None].clamp(-LOGIT_CLAMP, LOGIT_CLAMP)


def _size(frames: Iterable[Mapping[Any, Tensor]]) -> int:
    """Bytes of the features of some frames."""
    return sum(feature.nbytes for features in frames for feature in features.values())


def _batches(features: Sequence[Tensor], size: int) -> Iterator[list[int]]:
    """Indices of batches of at most `size` objects.

    Objects that share a feature, because they are looked at through the same view, are put
    together; see `_stacked`.
    """
    alike: dict[int, list[int]] = {}
    for i, feature in enumerate(features):
        alike.setdefault(id(feature), []).append(i)
    alone = [group[0] for group in alike.values() if len(group) == 1]
    for group in [alone, *(group for group in alike.values() if len(group) > 1)]:
        yield from (group[k : k + size] for k in range(0, len(group), size))


def _stacked(features: Sequence[Tensor], batch: Sequence[int]) -> Tensor:
    """Features (B, C, h, w) of a batch; (1, C, h, w) where its objects share one."""
    shared = all(features[i] is features[batch[0]] for i in batch)
    return torch.stack([features[i] for i in (batch[:1] if shared else batch)])


def _is_exhausted(error: RuntimeError) -> bool:
    """Whether a device has no memory left; only CUDA has an error of its own for that.

    CUDA's libraries, for matrices and Fourier transforms, have others.
    """
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in told for words in ("out of memory", "can't allocate memory", "alloc_failed")
    )
