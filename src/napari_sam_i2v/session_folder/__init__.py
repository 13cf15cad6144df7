"""A session on disk: what was made in the window is kept at once, and comes back.

A folder, by default beside the movie: ``movie.sam-i2v/``

``session.json``
    Which movie it belongs to, and the state: settings, names, lineage, locks, provenance.
``prompts.json``
    All prompts, round by round; the command line takes the same file.
``labels.zarr``
    The tracked labels, an OME-Zarr image that anything else can open, too.
``answers.jsonl``
    How sure each answer was.
``memory/``
    What objects remembered a moment ago: a pass that a crash ended goes on to the same labels.
``lock.json``
    Which process has the folder open.

Labels and answers are written frame by frame, the other files are renamed into place when they are
whole: a process that is killed at any time leaves a folder that can be opened.
"""

from __future__ import annotations

from napari_sam_i2v.session_folder.answers import AnswerRecord
from napari_sam_i2v.session_folder.folder import SessionFolder
from napari_sam_i2v.session_folder.lock import FolderInUseError
from napari_sam_i2v.session_folder.places import (
    SUFFIX,
    fingerprint,
    folder_beside,
    folder_for,
    folder_in,
    free_folder,
)

__all__ = [
    "SUFFIX",
    "AnswerRecord",
    "FolderInUseError",
    "SessionFolder",
    "fingerprint",
    "folder_beside",
    "folder_for",
    "folder_in",
    "free_folder",
]
