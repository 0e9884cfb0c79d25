import io

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset import masks
from bl30k_gen.errors import UserError


def png(pixels, mode=None, palette=None) -> bytes:
    image = Image.fromarray(np.asarray(pixels))
    if palette is not None:
        image.putpalette(palette)
    if mode:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def grey(*rows) -> bytes:
    return png(np.array(rows, np.uint8))


def colours(*ids) -> np.ndarray:
    return masks.palette()[np.array([ids])]


def shallow_grey(depth: int) -> bytes:
    """A greyscale PNG of 2 or 4 bits that holds 0, 1, 2, 3; Pillow writes none, so it is put together here."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = bytes([0b00011011]) if depth == 2 else bytes([0x01, 0x23])
    header = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_palette_is_that_of_voc_and_davis():
    colours = masks.palette().tolist()
    assert colours[:9] == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
        [128, 0, 128], [0, 128, 128], [128, 128, 128], [64, 0, 0],
    ]  # fmt: skip
    assert colours[255] == [224, 224, 192]
    assert len({tuple(c) for c in colours}) == 256


def test_every_id_survives_and_the_file_is_a_palette_png():
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = masks.encode_mask(ids)
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P"
    assert image.getpalette() == masks.palette().ravel().tolist()
    assert (masks.read_values(data) == ids).all()
    assert data == masks.encode_mask(ids.copy())


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.int64), np.zeros((4, 4, 1), np.uint8)])
def test_encode_refuses_other_arrays(wrong):
    with pytest.raises(ValueError, match="uint8"):
        masks.encode_mask(wrong)


_RULE = {
    # stored PNG: (ids, void or None, kind)
    "greyscale ids": (grey([0, 1, 2]), [0, 1, 2], None, "ids"),
    "palette ids": (masks.encode_mask(np.array([[0, 1, 2]], np.uint8)), [0, 1, 2], None, "ids"),
    "another palette": (png(np.array([[0, 1, 2]], np.uint8), palette=[9, 9, 9] * 3), [0, 1, 2], None, "ids"),
    "ids that are not contiguous": (grey([0, 7, 254]), [0, 7, 254], None, "ids"),
    "nothing": (grey([0, 0, 0]), [0, 0, 0], None, "ids"),
    "one white object": (grey([0, 255, 255]), [0, 1, 1], None, "single"),
    "white everywhere": (grey([255, 255]), [1, 1], None, "single"),
    "void beside an id": (grey([0, 2, 255]), [0, 2, 0], [False, False, True], "ids"),
    "RGB palette colours": (png(colours(0, 1, 5, 255)), [0, 1, 5, 0], [False, False, False, True], "ids"),
    "RGBA palette colours": (png(colours(0, 1, 5), mode="RGBA"), [0, 1, 5], None, "ids"),
    "RGB black and white": (png(np.array([[[0] * 3, [255] * 3]], np.uint8)), [0, 1], None, "single"),
    "one bit": (png(np.array([[False, True]])), [0, 1], None, "ids"),
    "two bits of grey": (shallow_grey(2), [0, 1, 2, 3], None, "ids"),
    "four bits of grey": (shallow_grey(4), [0, 1, 2, 3], None, "ids"),
    "grey with alpha": (png(np.array([[0, 3]], np.uint8), mode="LA"), [0, 3], None, "ids"),
    "16 bits, small ids": (png(np.array([[0, 1, 9]], np.uint16)), [0, 1, 9], None, "ids"),
    "16 bits, large ids": (png(np.array([[0, 1, 1000]], np.uint16)), [0, 1, 1000], None, "ids"),
    "16 bits, void": (png(np.array([[0, 1000, 65535, 255]], np.uint16)), [0, 1000, 0, 0], [False, False, True, True],
                      "ids"),
    "16 bits, one white object": (png(np.array([[0, 65535]], np.uint16)), [0, 1], None, "single"),
}  # fmt: skip


@pytest.mark.parametrize("case", _RULE)
def test_mask_rule(case):
    data, ids, void, kind = _RULE[case]
    frame = masks.read_mask(data)
    assert frame.ids.tolist() == [ids]
    assert (None if frame.void is None else frame.void.tolist()) == (None if void is None else [void])
    assert frame.kind == kind
    assert frame.ids.dtype == (np.uint16 if max(ids) > 255 else np.uint8)


_WITH_IDS, _VOID_LEFT, _EMPTY = grey([0, 1, 255]), grey([0, 0, 255]), grey([0, 0, 0])


@pytest.mark.parametrize(
    ("video", "meaning"),
    [
        ([_VOID_LEFT, _EMPTY, _VOID_LEFT], "object"),
        ([_VOID_LEFT, _EMPTY, _WITH_IDS], "void"),
        ([_WITH_IDS, _VOID_LEFT], "void"),
        ([_EMPTY, grey([0, 3, 3])], "void"),
        ([_EMPTY], "void"),
        ([], "void"),
    ],
)
def test_the_video_decides_what_white_is(video, meaning):
    assert masks.white_meaning(video) == meaning


def test_a_frame_of_a_video_with_ids_keeps_its_void():
    frame = masks.read_mask(_VOID_LEFT, white="void")
    assert not frame.ids.any()
    assert frame.void.tolist() == [[False, False, True]]
    assert masks.read_mask(_VOID_LEFT, white="object").ids.tolist() == [[0, 0, 1]]


def test_deciding_stops_at_the_first_mask_with_an_id():
    def video():
        yield _VOID_LEFT
        yield _WITH_IDS
        raise AssertionError("read too far")

    assert masks.white_meaning(video()) == "void"


def test_colours_that_are_not_of_the_palette_are_named(tmp_path):
    path = tmp_path / "resized.png"
    path.write_bytes(png(np.array([[[128, 0, 0], [127, 1, 0]]], np.uint8)))
    with pytest.raises(UserError, match=r"resized.png has 1 pixels in colours like RGB \(127, 1, 0\)"):
        masks.read_mask(path)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", masks.encode_mask(np.zeros((64, 64), np.uint8))[:60], b"\xff\xd8\xff\xe0"]
)
def test_damaged_masks_and_lossy_formats_are_named(tmp_path, data):
    path = tmp_path / "broken.png"
    path.write_bytes(data)
    with pytest.raises(UserError, match="broken.png"):
        masks.read_mask(path)


def test_missing_mask_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.png cannot be read"):
        masks.read_mask(tmp_path / "gone.png")


def test_real_davis_masks_are_one_object(davis):
    folder = davis / "Annotations/480p/bmx-trees"
    frames = sorted(folder.iterdir())[:12]
    assert masks.white_meaning(frames) == "object"
    frame = masks.read_mask(frames[0], "object")
    assert frame.ids.shape == (480, 854)
    assert set(np.unique(frame.ids)) == {0, 1}
