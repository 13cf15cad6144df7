"""Movies of every format that is read, and what the format's own library gives for them.

`SAMPLES` is what `test_formats.py` goes through, and what docs/formats.md lists.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

Reference = Callable[[Path], Any]
"""Reads a whole movie as (T, Y, X) or (T, Y, X, 3), with the format's library only."""

WRITTEN = "written by the test"
STACK = np.random.default_rng(7).integers(0, 60000, (24, 128, 192)).astype(np.uint16)


@dataclass(frozen=True)
class Sample:
    """One movie.

    Attributes
    ----------
    format
        As a user calls it.
    library
        What reads it.
    file
        Its place in the folder of samples, or what writes it to a folder.
    axes
        As stored.
    reference
        Reads it independently of our code.
    options
        Of `open_movie`.
    extra
        The extra that installs `library`; empty if it always is there.
    buffer
        Bytes that the library always takes, however long the movie is.
    """

    format: str
    library: str
    file: str | Callable[[Path], Path]
    axes: str
    reference: Reference
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: str = ""
    buffer: int = 0

    @property
    def name(self) -> str:
        """For tests and the table."""
        return self.file if isinstance(self.file, str) else f"{self.file.__name__} ({WRITTEN})"


def frames_to_compare(n: int) -> list[int]:
    """Frames in an order in which nobody decodes: the last, back, the first, on."""
    chosen = (n - 1, n - 2, n // 2, 0, 1)
    return list(dict.fromkeys(t for t in chosen if 0 <= t < n))


# --- TIFF ----------------------------------------------------------------------------------------


def tiff(**at: int) -> Reference:
    """Read the first series, with some axes fixed."""

    def read(path: Path) -> np.ndarray:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            index = tuple(at.get(axis, slice(None)) for axis in series.axes)
            return series.asarray()[index]

    return read


def ome_multifile(folder: Path) -> Path:
    """An OME-TIFF with one file per frame, each naming all of them in its metadata."""
    planes = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="part_{t}.ome.tif">urn:uuid:0000000{t}-0000-4000-8000-000000000000</UUID>'
        "</TiffData>"
        for t in range(4)
    )
    for t in range(4):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{t}-0000-4000-8000-000000000000">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="192" SizeY="128" SizeZ="1" SizeC="1" SizeT="4" PhysicalSizeX="0.5" '
            'PhysicalSizeY="0.5" TimeIncrement="3"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{planes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(
            folder / f"part_{t}.ome.tif", STACK[t], description=xml, metadata=None, ome=False
        )
    return folder / "part_0.ome.tif"


def imagej_hyperstack(folder: Path) -> Path:
    """Time, depth, channel: as Fiji saves it."""
    data = np.stack([STACK.reshape(12, 2, 128, 192), 60000 - STACK.reshape(12, 2, 128, 192)], 2)
    tifffile.imwrite(folder / "hyper.tif", data, imagej=True, metadata={"axes": "TZCYX"})
    return folder / "hyper.tif"


def ome_xyczt(folder: Path) -> Path:
    """Axes in an order of their own, Z fastest."""
    data = STACK.reshape(2, 6, 2, 128, 192)
    tifffile.imwrite(folder / "order.ome.tif", data, metadata={"axes": "CTZYX"})
    return folder / "order.ome.tif"


def bigtiff(folder: Path) -> Path:
    """64-bit offsets."""
    tifffile.imwrite(folder / "big.tif", STACK, bigtiff=True, metadata={"axes": "TYX"})
    return folder / "big.tif"


def compressed(codec: str) -> Callable[[Path], Path]:
    """A TIFF of one compression; JPEG holds bytes."""

    def write(folder: Path) -> Path:
        data = (STACK >> 8).astype(np.uint8) if codec == "jpeg" else STACK
        options = {"bitspersample": 16} if codec == "jpeg2000" else {}
        tifffile.imwrite(
            folder / f"{codec}.tif", data, compression=codec, metadata={"axes": "TYX"},
            photometric="minisblack", compressionargs=(options and {"level": 0}) or None,
        )  # fmt: skip
        return folder / f"{codec}.tif"

    write.__name__ = f"tiff_{codec}"
    return write


def tiffs_in_a_folder(folder: Path) -> np.ndarray:
    """Read them one by one."""
    return np.stack([tifffile.imread(one) for one in sorted(folder.glob("*.tif"))])


# --- OME-Zarr ------------------------------------------------------------------------------------


def ome_zarr(inside: str = "", **at: int) -> Reference:
    """Read the first level that the field's model library finds."""

    def read(path: Path) -> np.ndarray:
        import yaozarrs
        import zarr

        group = yaozarrs.open_group(str(path / inside))
        metadata = group.ome_metadata()
        image = getattr(metadata, "multiscales")[0]  # noqa: B009 - a union of models
        array = zarr.open(str(path / inside), mode="r")[image.datasets[0].path]
        index = tuple(at.get(axis.name.upper(), slice(None)) for axis in image.axes)
        pixels = np.asarray(array[index])
        return pixels if pixels.ndim == 3 else pixels[None]

    return read


# --- medical -------------------------------------------------------------------------------------


def dicom(path: Path) -> np.ndarray:
    """Decode everything, then rescale."""
    import pydicom
    from pydicom.pixels import apply_modality_lut, pixel_array

    header = pydicom.dcmread(path)
    pixels = pixel_array(header)  # RGB, from YBR too
    colour = int(header.SamplesPerPixel) > 1
    if not colour:
        pixels = apply_modality_lut(pixels, header).astype(
            np.float32 if "RescaleSlope" in header else pixels.dtype
        )
    return pixels if pixels.ndim == 3 + colour else pixels[None]


def dicom_cine(folder: Path) -> Path:
    """Single-frame slices whose names, numbers and times are in three different orders."""
    from tests.movies import patients

    return patients.write_cine(folder / "series", STACK)


def dicom_cine_reference(folder: Path) -> np.ndarray:
    """Sort by trigger time."""
    import pydicom

    files = [pydicom.dcmread(one) for one in folder.iterdir()]
    return np.stack([one.pixel_array for one in sorted(files, key=lambda one: one.TriggerTime)])


def nifti(z: int) -> Reference:
    """Read everything; (x, y, z, t) to (t, y, x)."""

    def read(path: Path) -> np.ndarray:
        import nibabel

        return np.asanyarray(nibabel.load(path).dataobj)[:, :, z].transpose(2, 1, 0)

    return read


# --- video ---------------------------------------------------------------------------------------


class video:
    """Decode from the start, once to count and once to keep the frames that are compared."""

    def __init__(self, path: Path) -> None:
        n = sum(1 for _ in self._decoded(path))
        wanted = frames_to_compare(n)
        self._kept = {
            t: one.to_ndarray(format="rgb24")
            for t, one in enumerate(self._decoded(path))
            if t in wanted
        }
        self.shape, self.dtype = (n, *self._kept[0].shape), self._kept[0].dtype

    def __getitem__(self, t: int) -> np.ndarray:
        return self._kept[t]

    @staticmethod
    def _decoded(path: Path) -> Iterator[Any]:
        import av

        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            yield from container.decode(video=0)


def mp4_uneven(folder: Path) -> Path:
    """An H.264 MP4 with B frames, several key frames and a variable frame rate."""
    return write_video(folder / "uneven.mp4", [0, 1, 2, 7, 8, 20, 21, 22, 40, 41, 42, 50] * 3)


def matroska(folder: Path) -> Path:
    """The same in Matroska, whose header does not count frames."""
    return write_video(folder / "even.mkv", list(range(30)))


def write_video(path: Path, times: list[int]) -> Path:
    """Write an H.264 video whose frames are shown at increasing times."""
    from fractions import Fraction

    import av

    steps = np.maximum(np.diff([0, *times]), 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 8, 2
        for k, pts in enumerate(np.cumsum(steps) * 40):
            grey = np.full((128, 192, 3), 7 * k % 256, np.uint8)
            grey[:, : 3 * k] = 255
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = int(pts), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# --- microscopes' own ----------------------------------------------------------------------------


def nd2(path: Path) -> np.ndarray:
    """Read everything: T, Z, C, Y, X."""
    import nd2

    return nd2.imread(path)[:, 4, 1]


def czi(path: Path) -> np.ndarray:
    """Read plane by plane: channel 1, plane 2."""
    from pylibCZIrw.czi import open_czi

    with open_czi(str(path)) as document:
        return np.stack([document.read(plane={"T": t, "C": 1, "Z": 2})[..., 0] for t in range(3)])


def lif(path: Path) -> np.ndarray:
    """Read the second image at once."""
    import liffile

    with liffile.LifFile(path) as file:
        return file.images[1].asarray()


def leica(folder: Path) -> Path:
    """A LIF file of two series, written by the format's public description."""
    return write_lif(folder / "two.lif", {"first": STACK[:2], "second": STACK})


def write_lif(path: Path, images: Mapping[str, np.ndarray]) -> Path:
    """Write (T, Y, X) 16-bit images: a header in XML, then a block of pixels for each."""
    elements, blocks = "", b""
    for number, (name, data) in enumerate(images.items()):
        n_times, height, width = data.shape
        strides = {1: 2, 2: 2 * width, 4: 2 * width * height}
        sizes = {1: width, 2: height, 4: n_times}
        lengths = {1: 5e-7 * (width - 1), 2: 5e-7 * (height - 1), 4: 30.0 * (n_times - 1)}
        dimensions = "".join(
            f'<DimensionDescription DimID="{one}" NumberOfElements="{sizes[one]}" Origin="0" '
            f'Length="{lengths[one]}" Unit="{"s" if one == 4 else "m"}" '
            f'BytesInc="{strides[one]}" BitInc="0"/>'
            for one in sizes
        )
        elements += (
            f'<Element Name="{name}" Visibility="1" UniqueID="{number}"><Data><Image>'
            '<ImageDescription><Channels><ChannelDescription DataType="0" ChannelTag="0" '
            'Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="Gray" '
            f'IsLUTInverted="0" BytesInc="0" BitInc="0"/></Channels><Dimensions>{dimensions}'
            f'</Dimensions></ImageDescription></Image></Data><Memory Size="{data.nbytes}" '
            f'MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        label = f"MemBlock_{number}".encode("utf-16-le")
        blocks += struct.pack("<IIBQBI", 0x70, 0, 0x2A, data.nbytes, 0x2A, len(label) // 2)
        blocks += label + data.astype("<u2").tobytes()
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="two" Visibility="1"><Data>'
        f'<Experiment Path=""/></Data><Memory Size="0" MemoryBlockID="MemBlock_none"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    empty = "MemBlock_none".encode("utf-16-le")
    start = struct.pack("<IIBI", 0x70, len(header) + 5, 0x2A, len(header) // 2) + header
    start += struct.pack("<IIBQBI", 0x70, 0, 0x2A, 0, 0x2A, len(empty) // 2) + empty
    path.write_bytes(start + blocks)
    return path


_TIFF, _MEDICAL = "tifffile", "pydicom"
_EXAMPLES = "ome_zarr_examples/data/valid"

SAMPLES = (
    Sample("OME-TIFF", _TIFF, "derived/c2c12.ome.tif", "TYX", tiff()),
    Sample("OME-TIFF, a file per frame", _TIFF, ome_multifile, "TYX", tiff()),
    Sample("OME-TIFF, axes in any order", _TIFF, ome_xyczt, "CTZYX", tiff(C=1, Z=1),
           {"channel": 1, "z": 1}),
    Sample("ImageJ TIFF", _TIFF, "derived/c2c12_imagej.tif", "TYX", tiff()),
    Sample("ImageJ TIFF", _TIFF, "xyt_golgi_imagej.tif", "TYX", tiff()),
    Sample("ImageJ TIFF", _TIFF, "xyt_8bit_polyp.tif", "TYX", tiff()),
    Sample("ImageJ TIFF, depth, deflate", _TIFF, "derived/cine_tzyx_imagej.tif", "TZYX",
           tiff(Z=1), {"z": 1}),
    Sample("ImageJ hyperstack", _TIFF, imagej_hyperstack, "TZCYX", tiff(C=1, Z=0),
           {"channel": 1, "z": 0}),
    Sample("plain TIFF, big-endian", _TIFF, "derived/c2c12_bigendian_pages.tif", "QYX", tiff()),
    Sample("BigTIFF", _TIFF, bigtiff, "TYX", tiff()),
    *(
        Sample(f"TIFF, {name}", "tifffile, imagecodecs", compressed(codec), "TYX", tiff())
        for codec, name in {
            "lzw": "LZW", "zlib": "deflate", "zstd": "Zstandard", "jpeg": "JPEG",
            "jpeg2000": "JPEG 2000",
        }.items()
    ),
    Sample("folder of TIFFs", _TIFF, "mitocheck_image_sequence", "TYX", tiffs_in_a_folder),
    Sample("OME-Zarr 0.4", "zarr", "derived/c2c12_v04.zarr", "TYX", ome_zarr()),
    Sample("OME-Zarr 0.5", "zarr", "derived/c2c12_v05.zarr", "TYX", ome_zarr()),
    Sample("OME-Zarr 0.4", "zarr", f"{_EXAMPLES}/image-02.zarr", "YX", ome_zarr()),
    Sample("OME-Zarr 0.4", "zarr", f"{_EXAMPLES}/image-03.zarr", "ZYX", ome_zarr()),
    Sample("OME-Zarr plate", "zarr", f"{_EXAMPLES}/plate-01.zarr", "YX", ome_zarr("B/1/0"),
           {"scene": "B/1/0"}),
    Sample("OME-Zarr labels", "zarr", "derived/c2c12_v05.zarr/labels/cells", "TYX", ome_zarr()),
    Sample("DICOM ultrasound, YBR, JPEG", _MEDICAL, "dicom/examples_ybr_color.dcm", "TYXS",
           dicom, extra="dicom"),
    Sample("DICOM ultrasound, RGB", _MEDICAL, "dicom/examples_rgb_color.dcm", "TYXS", dicom,
           extra="dicom"),
    Sample("DICOM, RLE", _MEDICAL, "dicom/SC_rgb_rle_32bit_2frame.dcm", "TYXS", dicom,
           extra="dicom"),
    Sample("DICOM CT, rescaled", _MEDICAL, "dicom/CT_small.dcm", "TYX", dicom, extra="dicom"),
    Sample("DICOM MR", _MEDICAL, "dicom/MR_small.dcm", "TYX", dicom, extra="dicom"),
    Sample("DICOM, multi-frame MR", _MEDICAL, "derived/cine_multiframe.dcm", "TYX", dicom,
           extra="dicom"),
    Sample("DICOM, a file per slice", _MEDICAL, dicom_cine, "TYX", dicom_cine_reference,
           extra="dicom"),
    Sample("NIfTI", "nibabel", "derived/cine_xyzt.nii.gz", "XYZT", nifti(1), {"z": 1},
           extra="nifti", buffer=4 * 2**20),
    Sample("AVI, FFV1", "PyAV", "derived/c2c12_ffv1.avi", "TYXS", video, extra="video"),
    Sample("AVI, Motion JPEG", "PyAV", "derived/car-shadow_mjpeg.avi", "TYXS", video,
           extra="video"),
    Sample("MP4, H.264", "PyAV", "derived/car-shadow.mp4", "TYXS", video, extra="video"),
    Sample("MP4, H.264", "PyAV", "video/single_fly.mp4", "TYXS", video, extra="video"),
    Sample("MP4, H.264", "PyAV", "video/ten_zfish.mp4", "TYXS", video, extra="video"),
    Sample("MP4, H.264", "PyAV", "video/sam2_04_coffee.mp4", "TYXS", video, extra="video"),
    Sample("MP4, variable frame rate", "PyAV", mp4_uneven, "TYXS", video, extra="video"),
    Sample("MOV, H.264", "PyAV", "bulk-water.mov", "TYXS", video, extra="video"),
    Sample("Matroska", "PyAV", matroska, "TYXS", video, extra="video"),
    Sample("Nikon ND2", "nd2", "cluster.nd2", "TZCYX", nd2, {"channel": 1, "z": 4}, extra="nd2"),
    Sample("Zeiss CZI", "pylibCZIrw", "CD_s_1_t_3_c_2_z_5.czi", "TCZYX", czi,
           {"channel": 1, "z": 2}, extra="czi"),
    Sample("Leica LIF", "liffile", leica, "TYX", lif, {"scene": 1}, extra="lif"),
)  # fmt: skip
