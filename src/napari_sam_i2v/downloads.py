"""A published model from an address into a folder: fetched, verified, then known by name.

The window and the command line drive the same generator, `download`. Neither Qt nor torch is
needed to import this; torch verifies the weights at the end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from napari_sam_i2v.errors import CheckpointError, DownloadError, InputError
from napari_sam_i2v.network.installed import check_recorded, file_sha256, find_installed, record
from napari_sam_i2v.network.registry import WEIGHTS_SUFFIXES, ModelInfo

if TYPE_CHECKING:
    from requests import Response

__all__ = ["Finished", "Order", "Progress", "download", "readable_size"]

BLOCK = 2**16  # small: it can be cancelled between blocks on a slow line, too
CONNECT_S, READ_S = 10, 20
PART = ".part"
STALE_S = 3600  # a download at work writes every few seconds
LOCAL = "or use a local file"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to download.

    Attributes
    ----------
    model
        Which model it is to be.
    url
        Address of the weights file, http or https.
    folder
        Where it goes; made if it is not there.
    sha256
        What the file must have; None where the user does not know it.

    Raises
    ------
    InputError
        If the address or the checksum cannot be one.
    """

    model: ModelInfo
    url: str
    folder: Path
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not _is_web_address(self.url):
            raise InputError(
                f"The address of {self.model.title} must begin with https:// or http://, got "
                f"{self.url!r}: find it from {self.model.source}, {LOCAL}."
            )
        if self.sha256 is not None and not SHA256.fullmatch(self.sha256):
            raise InputError(
                f"A SHA-256 has 64 digits 0-9 and a-f, got {self.sha256!r}: copy all of it, leave "
                f"it out, {LOCAL}."
            )

    @property
    def target(self) -> Path:
        """The finished file: a damaged one that was downloaded before is replaced."""
        earlier = find_installed(self.model.name, self.folder)
        if earlier is not None and earlier.parent == self.folder:
            return earlier
        suffix = Path(urlsplit(self.url).path).suffix.lower()
        return self.folder / (self.model.name + (suffix if suffix in WEIGHTS_SUFFIXES else ".pt"))

    @property
    def shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def host(self) -> str:
        """The server's name."""
        return str(urlsplit(self.url).hostname)


@dataclass(frozen=True)
class Progress:
    """How far it is: bytes, of how many where the server says so."""

    done: int
    total: int | None
    step: Literal["fetching", "checking"] = "fetching"


@dataclass(frozen=True)
class Finished:
    """A model that is there and known by name."""

    path: Path
    size: int
    sha256: str
    fetched: bool = True


def download(order: Order) -> Generator[Progress | Finished, None, None]:
    """Fetch a model, block by block; the last that comes is `Finished`.

    To cancel, close the generator. Until the file is whole and verified it is called
    ``NAME....part`` and lies in the same folder; it is removed when anything goes wrong. What
    was downloaded before, and is unchanged, is not fetched again. Proxies are those of the
    environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) or of the system.

    Raises
    ------
    DownloadError
        If the file cannot be fetched or written, or is not what it should be.
    """
    if (there := _already(order)) is not None:
        yield there
        return
    target = order.target
    if target.exists() and find_installed(order.model.name, order.folder) != target:
        raise DownloadError(
            f"{target} is there already and was not downloaded by napari-sam-i2v: move it away, "
            f"{LOCAL}: this one, for example."
        )
    with _part(order, target) as part:
        digest, size = yield from _fetch(order, part)
        _check_sha256(order, digest)
        yield Progress(size, size, "checking")
        _check_weights(order, part)
        with _writing(order):
            # First the record: should all end in between, the next download replaces the file.
            record(target, digest, order.model.name)
            os.replace(part, target)
    yield Finished(target, size, digest)


def readable_size(size: float) -> str:
    """Bytes for a reader: 1.5 GB, 2.3 MB, 4 kB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{max(1, round(size / 1e3))} kB"


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # a broken IPv6 address
        return False


# -- before ---------------------------------------------------------------------------------------
def _already(order: Order) -> Finished | None:
    """Give what was downloaded before, if it is unchanged and the one that is asked for."""
    path = find_installed(order.model.name, order.folder)
    if path is None:
        return None
    try:
        sha256 = check_recorded(path) or file_sha256(path)
    except CheckpointError:
        return None
    if any(sha256 != wanted for wanted in _wanted(order)):
        return None
    return Finished(path, path.stat().st_size, sha256, fetched=False)


@contextmanager
def _part(order: Order, target: Path) -> Iterator[Path]:
    """Name of a file of one's own to write to; nothing is left under it."""
    with _writing(order):
        order.folder.mkdir(parents=True, exist_ok=True)
        for old in order.folder.glob(f"*.????????{PART}"):
            if old.name.startswith(order.model.name) and _is_stale(old):
                old.unlink(missing_ok=True)  # of a program that was killed
    part = target.with_name(f"{target.name}.{uuid4().hex[:8]}{PART}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > STALE_S


@contextmanager
def _writing(order: Order, size: int | None = None) -> Iterator[None]:
    """Turn what goes wrong with the folder into a sentence."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(order, size) from error
        raise DownloadError(
            f"{order.folder} cannot be written ({error.strerror or error}): choose another "
            f"checkpoint folder, {LOCAL}."
        ) from error


def _no_room(order: Order, size: int | None) -> DownloadError:
    needed = "the file" if size is None else readable_size(size)
    free = readable_size(shutil.disk_usage(order.folder).free)
    return DownloadError(
        f"There is no room for {needed} in {order.folder} ({free} free): make room, choose another "
        f"checkpoint folder, {LOCAL} on another disk."
    )


# -- fetching -------------------------------------------------------------------------------------
def _fetch(order: Order, part: Path) -> Generator[Progress, None, tuple[str, int]]:
    """Write what the server sends; return its SHA-256 and size."""
    with _answer(order) as response:
        total = _total(response)
        _check_size(order, total)
        if total is not None and total > shutil.disk_usage(order.folder).free:
            raise _no_room(order, total)
        yield Progress(0, total)
        digest, done = hashlib.sha256(), 0
        with _writing(order, total), part.open("xb") as file:
            for block in _blocks(order, response):
                file.write(block)
                digest.update(block)
                done += len(block)
                yield Progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done != total:
        raise _ended_early(order)
    _check_size(order, done)
    return digest.hexdigest(), done


@contextmanager
def _answer(order: Order) -> Iterator[Response]:
    """Ask the server, and see that it answers with a file."""
    import requests

    # Not compressed on the way: the length would be that of something else.
    headers = {"Accept-Encoding": "identity", "User-Agent": "napari-sam-i2v"}
    try:
        response = requests.get(
            order.url, stream=True, timeout=(CONNECT_S, READ_S), headers=headers
        )
    except requests.RequestException as error:
        raise _not_reached(order, error) from error
    with response:
        _check_status(order, response)
        yield response


def _blocks(order: Order, response: Response) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(BLOCK)
    except requests.RequestException as error:
        raise _ended_early(order) from error


def _total(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdecimal() and not encoded else None


def _not_reached(order: Order, error: Exception) -> DownloadError:
    from requests import exceptions

    if isinstance(error, exceptions.ProxyError):
        return _proxy_refuses(order)
    if isinstance(error, exceptions.SSLError):
        return DownloadError(
            f"The certificate of {order.host} is not trusted: check the address; behind a proxy "
            f"that reads along, name its certificate in REQUESTS_CA_BUNDLE; {LOCAL}."
        )
    if isinstance(error, exceptions.Timeout):
        return DownloadError(
            f"{order.host} does not answer: check the connection and, behind a firewall, the "
            f"proxy (HTTPS_PROXY), then download again, {LOCAL}."
        )
    if isinstance(error, exceptions.ConnectionError):
        return DownloadError(
            f"{order.host} cannot be reached: check the connection and the address, then download "
            f"again, {LOCAL}."
        )
    return DownloadError(f"{order.shown} cannot be fetched ({error}): correct it, {LOCAL}.")


def _proxy_refuses(order: Order) -> DownloadError:
    return DownloadError(
        f"The proxy on the way to {order.host} refuses or does not answer: check HTTP_PROXY and "
        f"HTTPS_PROXY, name the server in NO_PROXY, {LOCAL}."
    )


def _ended_early(order: Order) -> DownloadError:
    return DownloadError(
        f"The connection to {order.host} broke off before the file was whole: download again, "
        f"{LOCAL}."
    )


def _check_status(order: Order, response: Response) -> None:
    status = response.status_code
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise _proxy_refuses(order)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        advice = "it wants a login, or is not open to all: fetch the file with a browser and use it"
        raise DownloadError(f"{order.shown} is refused ({_status(response)}); {advice}, {LOCAL}.")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise DownloadError(
            f"There is no file at {order.shown} ({_status(response)}): correct the address, see "
            f"{order.model.source}, {LOCAL}."
        )
    if status != HTTPStatus.OK:
        raise DownloadError(
            f"{order.host} answers {_status(response)} instead of a file: try again later, check "
            f"the address, {LOCAL}."
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(
            f"{order.shown} is a web page, not a weights file: copy the address of the download "
            f"link on it, {LOCAL}."
        )


def _status(response: Response) -> str:
    return f"{response.status_code} {response.reason or ''}".strip()


# -- checking -------------------------------------------------------------------------------------
def _check_size(order: Order, size: int | None) -> None:
    """Compare with what the model must have."""
    if size is None:
        return
    wanted = order.model.size
    if wanted is not None and size != wanted:
        raise DownloadError(
            f"The file at {order.shown} has {size} bytes and {order.model.title} must have "
            f"{wanted}: correct the address, {LOCAL}."
        )
    if size == 0:
        raise DownloadError(f"The file at {order.shown} is empty: correct the address, {LOCAL}.")


def _wanted(order: Order) -> list[str]:
    return [one for one in (order.model.sha256, order.sha256) if one is not None]


def _check_sha256(order: Order, found: str) -> None:
    for wanted in _wanted(order):
        if found != wanted:
            raise DownloadError(
                f"What came from {order.shown} has the wrong checksum (SHA-256 must be {wanted} "
                f"and is {found}) and was deleted: correct the address or the checksum, {LOCAL}."
            )


def _check_weights(order: Order, part: Path) -> None:
    """Build the network with them: only what fits counts as installed."""
    from napari_sam_i2v.network.checkpoints import load_model

    try:
        load_model(part, variant=order.model.variant, device="cpu")
    except CheckpointError as error:
        why = str(error).replace(str(part), order.shown)
        raise DownloadError(
            f"These are not the weights of {order.model.title}, and were deleted: {why} Correct "
            f"the address, {LOCAL}."
        ) from error
