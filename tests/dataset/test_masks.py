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
    ("dataset", "meaning"),
    [
        ([_VOID_LEFT, _EMPTY, _VOID_LEFT], "binary"),
        ([_VOID_LEFT, _EMPTY, _WITH_IDS], "ids"),
        ([_WITH_IDS, _VOID_LEFT], "ids"),
        ([_EMPTY, grey([0, 3, 3])], "ids"),
        ([_EMPTY], "ids"),
        ([], "ids"),
    ],
)
def test_all_masks_together_decide_the_meaning_of_white(dataset, meaning):
    assert masks.decide(dataset) == masks.Rule(meaning)


def test_a_frame_of_a_dataset_with_ids_keeps_its_void():
    frame = masks.read_mask(_VOID_LEFT, masks.Rule("ids"))
    assert not frame.ids.any()
    assert frame.void.tolist() == [[False, False, True]]
    assert masks.read_mask(_VOID_LEFT, masks.Rule("binary")).ids.tolist() == [[0, 0, 1]]


def test_a_mask_that_contradicts_the_decision_is_named():
    with pytest.raises(UserError, match="odd.png holds other values than 0 and 255.*--masks ids"):
        masks.read_mask(_WITH_IDS, masks.Rule("binary"), "odd.png")


def disc(soft, mode="L", low=0, high=255):
    """A disc whose edge fades over ``soft`` pixels."""
    y, x = np.mgrid[:48, :64]
    distance = np.hypot(y - 24, x - 30)
    shade = np.clip((14.2 - distance) / max(soft, 1e-6) + 0.5, 0, 1)
    return png(np.round(low + (high - low) * shade).astype(np.uint8), mode=mode if mode != "L" else None)


def voc(mode):
    """Two classes with borders of void, as PASCAL VOC has them, grey or with a palette."""
    ids = np.zeros((48, 64), np.uint8)
    for label, left in ((5, 8), (12, 36)):
        ids[8:40, left : left + 20] = 255
        ids[10:38, left + 2 : left + 18] = label
    return masks.encode_mask(ids) if mode == "P" else png(ids)


@pytest.mark.parametrize("soft", [1, 2, 6, 20])
def test_soft_masks_are_refused_or_on_request_cut_at_one_half(soft):
    data = disc(soft)
    with pytest.raises(UserError, match="a.png has soft edges.*--masks soft"):
        masks.read_mask(data, name="a.png")
    rule = masks.decide([data], "soft")
    frame = masks.read_mask(data, rule)
    hard = masks.read_mask(disc(0))
    assert frame.void is None and set(np.unique(frame.ids)) == {0, 1}
    assert np.count_nonzero(frame.ids != hard.ids) <= 30
    assert masks.decide([disc(0), data, _EMPTY]).meaning == "soft", "one of many decides"


def test_a_grey_pixel_decides_nothing():
    pixels = np.array(Image.open(io.BytesIO(disc(0))))
    pixels[24, 30] = 77
    assert masks.decide([disc(0), png(pixels)]).meaning == "binary"
    with pytest.raises(UserError, match="b.png holds other values than 0 and 255"):
        masks.read_mask(png(pixels), masks.Rule("binary"), "b.png")


def test_soft_masks_in_colours_that_are_grey():
    with pytest.raises(UserError, match="soft edges"):
        masks.read_mask(disc(3, "RGB"))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_with_void_are_the_same_grey_or_with_a_palette(mode):
    frame = masks.read_mask(voc(mode))
    assert set(np.unique(frame.ids)) == {0, 5, 12} and frame.void.sum() == 384
    assert (masks.read_mask(voc(mode), masks.decide([voc(mode)], "soft")).ids == frame.ids).all(), (
        "these are not soft"
    )


def test_many_ids_are_not_soft():
    ids = np.kron(np.arange(1, 241, dtype=np.uint8).reshape(12, 20), np.ones((6, 6), np.uint8))
    assert masks.decide([png(ids)]).meaning == "ids"
    assert masks.decide([png(np.kron(ids, np.ones((2, 2), np.uint8))), _VOID_LEFT]).meaning == "ids"


def test_the_users_choice_overrides_the_rule():
    assert masks.read_mask(_WITH_IDS, masks.decide([_WITH_IDS], "binary")).ids.tolist() == [[0, 1, 1]]
    assert masks.read_mask(_VOID_LEFT, masks.decide([_VOID_LEFT], "ids")).void.tolist() == [[False, False, True]]
    assert masks.read_mask(disc(2), masks.decide([disc(2)], "ids")).ids.max() > 200


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_background(mode):
    pixels = np.full((8, 8, 4 if mode == "RGBA" else 2), 255, np.uint8)
    pixels[:4, :, -1] = 0
    frame = masks.read_mask(png(pixels))
    assert not frame.ids[:4].any() and (frame.ids[4:] == 1).all()
    pixels[4, :, -1] = 100
    with pytest.raises(UserError, match="8 pixels that are half transparent"):
        masks.read_mask(png(pixels))


def test_a_transparent_colour_of_a_palette_is_background():
    image = Image.open(io.BytesIO(masks.encode_mask(np.array([[0, 1, 2]], np.uint8))))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=1)
    assert masks.read_mask(buffer.getvalue()).ids.tolist() == [[0, 0, 2]]


def test_colours_outside_the_palette_are_named(tmp_path):
    path = tmp_path / "resized.png"
    path.write_bytes(png(np.array([[[128, 0, 0], [127, 1, 0]]], np.uint8)))
    with pytest.raises(UserError, match=r"resized.png has 1 pixels in colours like RGB \(127, 1, 0\)"):
        masks.read_mask(path)


@pytest.mark.parametrize(
    "data", [b"", b"no image", masks.encode_mask(np.zeros((64, 64), np.uint8))[:60], b"\xff\xd8\xff\xe0"]
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
    assert masks.decide(frames) == masks.Rule("binary")
    frame = masks.read_mask(frames[0], masks.Rule("binary"))
    assert frame.ids.shape == (480, 854)
    assert set(np.unique(frame.ids)) == {0, 1}
