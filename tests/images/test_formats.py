"""Every kind of image that cameras, archives and ImageJ write: read right, or refused with the reason.

What is expected is worked out here from the values that were stored, never by another reader.
"""

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.image_files import png, png_chunk, tiff
from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import read_image, read_mask

RANDOM = np.random.default_rng(5)
HEIGHT, WIDTH = 19, 23
COLOUR = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
COLOUR[0, 0], COLOUR[0, 1] = 255, 0
GREY = COLOUR[..., 0]
ALPHA = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 1)).astype(np.uint8)
DEEP = COLOUR.astype(np.uint16) * 257
INKS = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)


def grey_rgb(grey):
    return np.broadcast_to(np.asarray(grey, np.uint8)[..., None], (HEIGHT, WIDTH, 3))


def read(tmp_path, data, name="a.img"):
    (tmp_path / name).write_bytes(data)
    return read_image(tmp_path / name)


def from_inks(inks, largest):
    """Each ink takes its share of the light away; rounded."""
    light = largest - inks.astype(np.float64)
    return np.floor(light[..., :3] * light[..., 3:] / largest + 0.5) * (255 / largest)


TIFFS = {}
for _order in "<>":
    for _big in (False, True):
        for _planar in (False, True):
            key = f"{'II' if _order == '<' else 'MM'}{'-big' if _big else ''}{'-planar' if _planar else ''}"
            how = {"order": _order, "big": _big, "planar": _planar, "strip": 5}
            TIFFS |= {
                f"rgb8-{key}": (tiff(COLOUR, 2, **how), COLOUR),
                f"rgb16-{key}": (tiff(DEEP, 2, **how), COLOUR),
                f"rgba8-{key}": (tiff(np.dstack([COLOUR, ALPHA]), 2, extra=[2], **how), COLOUR),
                f"rgbx16-{key}": (tiff(np.dstack([DEEP, DEEP[..., 0]]), 2, extra=[0], **how), COLOUR),
                f"cmyk8-{key}": (tiff(INKS, 5, **how), from_inks(INKS, 255)),
                f"grey-alpha-{key}": (tiff(np.dstack([GREY, ALPHA]), 1, extra=[1], **how), grey_rgb(GREY)),
                f"deflate-{key}": (tiff(DEEP, 2, deflate=True, **how), COLOUR),
            }
    for _bits in (1, 2, 4):
        largest = 2**_bits - 1
        values = (GREY & largest).astype(np.uint8)
        TIFFS[f"grey{_bits}{_order}"] = (tiff(values, 1, bits=_bits, order=_order), grey_rgb(values * (255 // largest)))
        TIFFS[f"white-is-zero{_bits}{_order}"] = (
            tiff(values, 0, bits=_bits, order=_order),
            grey_rgb((largest - values) * (255 // largest)),
        )
    TIFFS |= {
        f"grey8{_order}": (tiff(GREY, 1, order=_order), grey_rgb(GREY)),
        f"grey16{_order}": (tiff(DEEP[..., 0], 1, order=_order), grey_rgb(GREY)),
        f"int16{_order}": (tiff((DEEP[..., 0] // 2).astype(np.int16), 1, order=_order), None),
        f"white-is-zero8{_order}": (tiff(GREY, 0, order=_order), grey_rgb(255 - GREY)),
        f"white-is-zero16{_order}": (tiff(DEEP[..., 0], 0, order=_order), grey_rgb(255 - GREY)),
    }
PALETTE = RANDOM.integers(0, 256, (256, 3))
TIFFS |= {
    "palette-257": (tiff(GREY, 3, palette=PALETTE * 257), PALETTE[GREY]),
    "palette-256": (tiff(GREY, 3, palette=PALETTE * 256), PALETTE[GREY]),
    "palette-255": (tiff(GREY, 3, palette=PALETTE), PALETTE[GREY]),
    "palette4": (tiff(GREY % 16, 3, bits=4, palette=PALETTE[:16] * 257), PALETTE[GREY % 16]),
}
del TIFFS["int16<"], TIFFS["int16>"]


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(tmp_path, name):
    data, expected = TIFFS[name]
    np.testing.assert_array_equal(read(tmp_path, data), expected)


def written(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 4}, {"bigtiff": True}, {"byteorder": ">"}])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_and_tiled_tiff(tmp_path, compression, layout, predictor):
    if predictor and compression in (None, "packbits"):
        pytest.skip("a predictor goes with LZW and its like")
    data = written(DEEP, photometric="rgb", compression=compression, predictor=predictor, **layout)
    np.testing.assert_array_equal(read(tmp_path, data), COLOUR)


SMOOTH = np.stack([*np.meshgrid(np.arange(40, 200, 10), np.arange(60, 220, 10)), np.full((16, 16), 90)], -1)
SMOOTH = SMOOTH.astype(np.uint8)


def test_jpeg_in_tiff(tmp_path):
    as_rgb = written(SMOOTH, photometric="rgb", compression="jpeg", compressionargs={"level": 95})
    jpeg = encoded(Image.fromarray(SMOOTH), "JPEG", quality=95)
    as_ycbcr = tiff(SMOOTH, 6, parts=[jpeg], tags={259: ("H", [7]), 530: ("H", [2, 2])})
    for data in (as_rgb, as_ycbcr):
        assert np.abs(read(tmp_path, data).astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", ["grey", "rgb", "rgba"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_the_first_of_several_pages(tmp_path, bits, shape, planar):
    page = {"grey": COLOUR[..., 0], "rgb": COLOUR, "rgba": np.dstack([COLOUR, ALPHA])}[shape]
    pages = np.stack([page, 255 - page]).astype(f"uint{bits}") * (257 if bits == 16 else 1)
    options = {"photometric": "minisblack"} if shape == "grey" else {"photometric": "rgb", "planarconfig": planar}
    if planar == "separate" and shape != "grey":
        pages = np.moveaxis(pages, -1, 1)
    expected = grey_rgb(COLOUR[..., 0]) if shape == "grey" else COLOUR
    np.testing.assert_array_equal(read(tmp_path, written(pages, **options)), expected)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_state_their_range(tmp_path, bits):
    values = (COLOUR.astype(np.uint16) << (bits - 8)) // 3
    data = tiff(values, 2, bits=bits)
    np.testing.assert_array_equal(read(tmp_path, data), np.round(values * (255 / (2**bits - 1))))


DIM = np.full((16, 16, 3), 100, np.uint16)
STATED = {
    "tiff": tiff(DIM, 2, bits=12),
    "png": png(DIM, 2, 16, chunks=[(b"sBIT", b"\x0c\x0c\x0c")]),
    "grey png": png(DIM[..., :1], 0, 16, chunks=[(b"sBIT", b"\x0c")]),
    "jpeg": imagecodecs.jpeg8_encode(DIM[..., 0].copy(), level=99, bitspersample=12),
    "pgm": b"P5 2 1 4095\n" + bytes([0, 100, 0, 100]),
    "ppm": b"P6 1 1 4095\n" + bytes([0, 100, 0, 100, 0, 100]),
}


@pytest.mark.parametrize("name", STATED)
def test_a_dim_image_is_not_brightened_where_the_file_states_its_range(tmp_path, name):
    np.testing.assert_array_equal(read(tmp_path, STATED[name]), 6)  # 100 * 255 / 4095 = 6.2


def test_a_tag_that_cannot_be_read_is_not_passed_over(tmp_path):
    data = bytearray(written(COLOUR, photometric="rgb", compression="lzw", predictor=True))
    for tag in (259, 317):  # compression, predictor: their count becomes absurd
        at = data.index(struct.pack("<HH", tag, 3))
        broken = data[: at + 4] + b"\xff\xff\xff\x7f" + data[at + 8 :]
        with pytest.raises(SynthMedError, match=rf"a\.img is truncated or damaged \(its tags {tag} cannot be read\)"):
            read(tmp_path, bytes(broken))


def test_a_thumbnail_in_front_is_passed_over(tmp_path):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(COLOUR[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(COLOUR, photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path, buffer.getvalue()), COLOUR)


TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_orientations_of_tiff_and_of_a_palette_with_its_labels(tmp_path, orientation):
    turned = TURNS[orientation]
    np.testing.assert_array_equal(read(tmp_path, tiff(DEEP, 2, orientation=orientation, planar=True)), turned(COLOUR))
    data = tiff(GREY % 16, 3, bits=4, palette=PALETTE[:16] * 257, orientation=orientation)
    (tmp_path / "m.tif").write_bytes(data)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", (3, 5)), turned(np.isin(GREY % 16, (3, 5))))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientations_of_exif(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    block = np.zeros((32, 48, 3), np.uint8)
    block[:8, :16] = 255
    Image.fromarray(block).save(buffer, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    pixels = read(tmp_path, buffer.getvalue())
    expected = TURNS[orientation](block)
    assert pixels.shape == expected.shape
    np.testing.assert_array_equal(pixels > 128, expected > 128)


def test_float_and_32_bit_label_maps_are_masks_but_no_photographs(tmp_path):
    labels = np.zeros((HEIGHT, WIDTH), int)
    labels[3], labels[9] = 1, 2
    for kind in (np.int32, np.uint32, np.float32, np.float64, np.int16):
        (tmp_path / "a.tif").write_bytes(tiff(labels.astype(kind), 1))
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif", (1, 2)), labels > 0)
        (tmp_path / "b.tif").write_bytes(tiff((labels > 0).astype(kind), 1))
        np.testing.assert_array_equal(read_mask(tmp_path / "b.tif"), labels > 0)


REFUSED = {
    "float": (tiff(GREY.astype(np.float32), 1), "has 32 bits a channel"),
    "int32": (tiff(GREY.astype(np.int32), 1), "has 32 bits a channel"),
    "float rgb": (tiff(COLOUR.astype(np.float32), 2), "has 32 bits a channel"),
    "negative": (tiff(GREY.astype(np.int16) - 100, 1), "has 16 bits a channel"),
    "cielab": (tiff(COLOUR, 8), "of the kind cielab"),
    "ycbcr": (tiff(COLOUR, 6, tags={530: ("H", [1, 1])}), "YCbCr TIFF without JPEG"),
    "three greys": (tiff(COLOUR, 1, extra=[0, 0]), "has 3 channels where a TIFF of the kind minisblack has 1"),
    "five channels": (tiff(np.dstack([COLOUR, COLOUR[..., :2]]), 2, extra=[0, 0]), "has 5 channels"),
    "other inks": (tiff(INKS, 5, tags={332: ("H", [2])}), "inks whose order"),
    "pages of channels": (
        written(np.moveaxis(COLOUR, -1, 0), imagej=True, photometric="minisblack", metadata={"axes": "CYX"}),
        "keeps its 3 channels as pages.*RGB Color",
    ),
    "ome channels": (
        written(np.moveaxis(COLOUR, -1, 0), ome=True, photometric="minisblack", metadata={"axes": "CYX"}),
        "keeps its 3 channels as pages",
    ),
    "missing strip": (tiff(COLOUR, 2, strip=5).replace(struct.pack("<I", 5 * WIDTH * 3), bytes(4)), "missing|damaged"),
    "cmyk jpeg without a marker": (None, "CMYK JPEG without Adobe's marker"),
    "float netpbm": (b"Pf 2 2 -1.0\n" + bytes(16), "no image that can be read|32 bits"),
    "png without its end": (png(COLOUR, 2, 8)[:-12], "its last chunk is missing"),
    "png with a flipped bit": (None, "the checksum of its chunk b'IDAT' fails"),
    "signed jpeg 2000": (imagecodecs.jpeg2k_encode(GREY.astype(np.int16) - 9, level=0), "stores values below zero"),
}
_flipped = bytearray(png(COLOUR, 2, 8))
_flipped[len(_flipped) // 2] ^= 4
REFUSED["png with a flipped bit"] = (bytes(_flipped), REFUSED["png with a flipped bit"][1])


def without_adobe(data):
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


CMYK = encoded(Image.fromarray(np.full((16, 16, 4), (10, 200, 60, 30), np.uint8), "CMYK"), "JPEG", quality=100)
REFUSED["cmyk jpeg without a marker"] = (without_adobe(CMYK), REFUSED["cmyk jpeg without a marker"][1])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certain_is_refused_with_the_reason(tmp_path, name):
    data, sentence = REFUSED[name]
    with pytest.raises(SynthMedError, match=rf"a\.img .*({sentence})"):
        read(tmp_path, data)


PNGS = {}
for _interlaced in (False, True):
    key = "-interlaced" if _interlaced else ""
    for _bits in (1, 2, 4, 8, 16):
        largest = 2**_bits - 1
        values = (GREY & min(largest, 255)) if _bits < 16 else DEEP[..., 0]
        shown = grey_rgb(values * (255 // largest)) if _bits < 16 else grey_rgb(GREY)
        stored = values.astype(np.uint16 if _bits == 16 else np.uint8)[..., None]
        PNGS[f"grey{_bits}{key}"] = (png(stored, 0, _bits, interlaced=_interlaced), shown)
        if _bits < 16:
            table = PALETTE[: largest + 1].astype(np.uint8)
            head = [(b"PLTE", table.tobytes())]
            looked = table[values]
            PNGS[f"palette{_bits}{key}"] = (png(stored, 3, _bits, interlaced=_interlaced, chunks=head), looked)
            head.append((b"tRNS", bytes([0, 128])[: largest + 1]))
            PNGS[f"palette-alpha{_bits}{key}"] = (png(stored, 3, _bits, interlaced=_interlaced, chunks=head), looked)
    PNGS |= {
        f"rgb8{key}": (png(COLOUR, 2, 8, interlaced=_interlaced), COLOUR),
        f"rgb16{key}": (png(DEEP, 2, 16, interlaced=_interlaced), COLOUR),
        f"rgba16{key}": (png(np.dstack([DEEP, DEEP[..., 0]]), 6, 16, interlaced=_interlaced), COLOUR),
        f"grey-alpha16{key}": (png(DEEP[..., :2], 4, 16, interlaced=_interlaced), grey_rgb(GREY)),
        f"grey-alpha8{key}": (png(COLOUR[..., :2], 4, 8, interlaced=_interlaced), grey_rgb(GREY)),
        f"rgba8{key}": (png(np.dstack([COLOUR, ALPHA]), 6, 8, interlaced=_interlaced), COLOUR),
    }
PNGS |= {
    "gamma": (png(COLOUR, 2, 8, chunks=[(b"gAMA", struct.pack(">I", 100000))]), COLOUR),
    "srgb": (png(COLOUR, 2, 8, chunks=[(b"sRGB", b"\0")]), COLOUR),
    "gamma16": (png(DEEP, 2, 16, chunks=[(b"gAMA", struct.pack(">I", 100000))]), COLOUR),
    "colour key": (png(COLOUR, 2, 8, chunks=[(b"tRNS", struct.pack(">HHH", *COLOUR[3, 3]))]), COLOUR),
    "twelve bits": (png((COLOUR // 16).astype(np.uint16) * 273, 2, 16, chunks=[(b"sBIT", b"\x0c\x0c\x0c")]), None),
}
TWELVE = np.minimum(COLOUR.astype(np.uint16) * 16 + 8, 2000)
PNGS["twelve bits"] = (
    png(TWELVE, 2, 16, chunks=[(b"sBIT", b"\x0c\x0c\x0c")]),
    np.round(TWELVE * (255 / 4095)),
)


@pytest.mark.parametrize("name", PNGS)
def test_png(tmp_path, name):
    data, expected = PNGS[name]
    np.testing.assert_array_equal(read(tmp_path, data), expected)


def test_a_colour_profile_changes_no_value(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(read(tmp_path, encoded(image, "PNG", icc_profile=profile)), COLOUR)
    plain, profiled = (encoded(image, "JPEG", **extra) for extra in ({}, {"icc_profile": profile}))
    np.testing.assert_array_equal(read(tmp_path, profiled), read(tmp_path, plain))


FLAT = np.full((16, 16, 3), (200, 90, 40), np.uint8)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 2}, {"keep_rgb": True}, {"restart_marker_rows": 1}]
)
def test_jpeg(tmp_path, options):
    pixels = read(tmp_path, encoded(Image.fromarray(FLAT), "JPEG", quality=95, **options))
    assert np.abs(pixels.astype(int) - (200, 90, 40)).max() <= 2


def test_cmyk_jpeg_with_adobe_s_marker(tmp_path):
    # Pillow stores 255 minus each ink, as Adobe does; the light that is left is (255 - ink) * (255 - black) / 255.
    inks = np.array([10, 200, 60, 30])
    expected = (255 - inks[:3]) * (255 - inks[3]) / 255
    assert np.abs(read(tmp_path, CMYK) - expected).max() <= 3


def test_twelve_bit_and_lossless_jpeg(tmp_path):
    ramp = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (16, 1))
    pixels = read(tmp_path, imagecodecs.jpeg8_encode(ramp, level=99, bitspersample=12))
    assert np.abs(pixels[..., 0].astype(int) - np.round(ramp * (255 / 4095))).max() <= 1
    lossless = imagecodecs.ljpeg_encode(ramp, bitspersample=12)
    np.testing.assert_array_equal(read(tmp_path, lossless)[..., 0], np.round(ramp * (255 / 4095)))


@pytest.mark.parametrize("kind", ["codestream", "jp2"])
def test_jpeg_2000(tmp_path, kind):
    args = {"level": 0, "reversible": True, "codecformat": "j2k" if kind == "codestream" else "jp2"}
    np.testing.assert_array_equal(read(tmp_path, imagecodecs.jpeg2k_encode(COLOUR, **args)), COLOUR)
    np.testing.assert_array_equal(read(tmp_path, imagecodecs.jpeg2k_encode(DEEP, **args)), COLOUR)
    dark = np.minimum(TWELVE, 900)  # the range is what the file states, not what its largest value needs
    for values in (TWELVE, dark):
        twelve = imagecodecs.jpeg2k_encode(values, bitspersample=12, **args)
        np.testing.assert_array_equal(read(tmp_path, twelve), np.round(values * (255 / 4095)))
    twelve = imagecodecs.jpeg2k_encode(TWELVE, bitspersample=12, **args)
    np.testing.assert_array_equal(read(tmp_path, twelve), np.round(TWELVE * (255 / 4095)))


def test_deep_jpeg_2000_in_ycc_is_refused(tmp_path):
    data = imagecodecs.jpeg2k_encode(DEEP, level=0, reversible=True, codecformat="jp2")
    stated = b"colr\x01\0\0\0\0\0\x10"
    assert stated in data
    with pytest.raises(SynthMedError, match=r"a\.img is a JPEG 2000 of 16 bits in YCC"):
        read(tmp_path, data.replace(stated, stated[:-1] + b"\x12"))


OTHERS = {
    "bmp24": (encoded(Image.fromarray(COLOUR), "BMP"), COLOUR),
    "bmp8": (encoded(Image.fromarray(GREY), "BMP"), grey_rgb(GREY)),
    "bmp1": (encoded(Image.fromarray(GREY > 99), "BMP"), grey_rgb((GREY > 99) * 255)),
    "bmp-palette": (
        encoded(Image.fromarray(GREY).convert("P"), "BMP"),
        grey_rgb(GREY),
    ),
    "webp": (encoded(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR),
    "webp-alpha": (encoded(Image.fromarray(np.dstack([COLOUR, ALPHA])), "WEBP", lossless=True, exact=True), COLOUR),
    "gif": (encoded(Image.fromarray(GREY), "GIF", interlace=1), grey_rgb(GREY)),
    "P1": (b"P1\n# a comment\n2 2\n1 0\n0 1\n", np.array([[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]])),
    "P2": (b"P2 2 1 100\n50 100\n", np.array([[[128] * 3, [255] * 3]])),
    "P3": (b"P3 1 1 255\n7 8 9\n", np.array([[[7, 8, 9]]])),
    "P4": (b"P4 2 1\n\x40", np.array([[[255] * 3, [0] * 3]])),
    "P5": (b"P5 2 1 255\n\x05\x06", np.array([[[5] * 3, [6] * 3]])),
    "P5 of 12 bits": (b"P5 2 1 4095\n" + struct.pack(">2H", 2048, 16), np.array([[[128] * 3, [1] * 3]])),
    "P6": (b"P6 1 1 255\n\x07\x08\x09", np.array([[[7, 8, 9]]])),
    "P6 of 16 bits": (b"P6 1 1 65535\n" + struct.pack(">3H", 65535, 257, 0), np.array([[[255, 1, 0]]])),
    "P6 of 12 bits": (b"P6 1 1 4095\n" + struct.pack(">3H", 2048, 16, 0), np.array([[[128, 1, 0]]])),
    "P6 of dark 12 bits": (b"P6 1 1 65535\n" + struct.pack(">3H", 4095, 16, 0), np.array([[[255, 1, 0]]])),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats(tmp_path, name):
    data, expected = OTHERS[name]
    np.testing.assert_array_equal(read(tmp_path, data), expected)


def test_animations_give_their_first_frame(tmp_path):
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(read(tmp_path, data), COLOUR)


def test_the_chunk_helper_agrees_with_pillow():
    with Image.open(io.BytesIO(png(COLOUR, 2, 8))) as image:
        np.testing.assert_array_equal(np.asarray(image), COLOUR)
    assert png_chunk(b"IEND", b"") == b"\0\0\0\0IEND\xaeB`\x82"
