"""Image files: every format against the values written, every kind of damage against its sentence."""

import gzip
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import MAX_PIXELS, decode_png, encode_png, grid, read_image, read_mask, write_png

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
GREY = COLOUR[..., 0]
VESSELS = np.zeros((40, 50), bool)
VESSELS[10:14, 5:45] = VESSELS[5:35, 20:22] = True


def encoded(array, file_format, **options):
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, file_format, **options)
    return buffer.getvalue()


def deep_tiff(array, **options):
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def deep_png(array):
    """A 16 bit RGB PNG, which Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


DEEP = COLOUR.astype(np.uint16) * 257
TWELVE_BIT = np.minimum(COLOUR.astype(np.uint16) * 16 + 8, 4095)
LOSSLESS = {
    "rgb.png": (encoded(COLOUR, "PNG"), COLOUR),
    "rgb.tif": (encoded(COLOUR, "TIFF"), COLOUR),
    "lzw.tiff": (encoded(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR),
    "packbits.TIF": (encoded(COLOUR, "TIFF", compression="packbits"), COLOUR),
    "rgb.ppm": (encoded(COLOUR, "PPM"), COLOUR),
    "rgb.ppm.gz": (gzip.compress(encoded(COLOUR, "PPM"), mtime=0), COLOUR),
    "rgb.bmp": (encoded(COLOUR, "BMP"), COLOUR),
    "grey.png": (encoded(GREY, "PNG"), GREY[..., None]),
    "grey.pgm": (encoded(GREY, "PPM"), GREY[..., None]),
    "grey.gif": (encoded(GREY, "GIF"), GREY[..., None]),
    "alpha.png": (encoded(np.dstack([COLOUR, GREY]), "PNG"), COLOUR),
    "grey16.png": (encoded(GREY.astype(np.uint16) * 257, "PNG"), GREY[..., None]),
    "grey16.pgm": (b"P5 30 20 65535\n" + (GREY.astype(">u2") * 257).tobytes(), GREY[..., None]),
    "rgb16.png": (deep_png(DEEP), COLOUR),
    "rgb16.tif": (deep_tiff(DEEP), COLOUR),
    "rgb16be.tif": (deep_tiff(DEEP, byteorder=">"), COLOUR),
    "rgb16deflate.tif": (deep_tiff(DEEP, compression="zlib"), COLOUR),
    "rgb12.tif": (deep_tiff(TWELVE_BIT), np.round(TWELVE_BIT / (4095 / 255)).astype(np.uint8)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_values_written(tmp_path, name):
    data, expected = LOSSLESS[name]
    (tmp_path / name).write_bytes(data)
    pixels = read_image(tmp_path / name)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (20, 30, 3)))


def test_sixteen_bits_are_divided_by_257_and_rounded(tmp_path):
    values = np.array([[0, 128, 129, 20000, 65534, 65535]], np.uint16)
    (tmp_path / "a.png").write_bytes(encoded(values, "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [0, 0, 1, 78, 255, 255])


def test_jpeg_is_near_what_was_written(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(np.full((16, 16, 3), (200, 90, 40), np.uint8), "JPEG", quality=95))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (200, 90, 40)).max() <= 2


def test_a_palette_is_expanded_and_the_first_frame_taken(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), i, np.uint8)).convert("P") for i in (0, 1)]
    for frame in frames:
        frame.putpalette([10, 20, 30, 200, 100, 50] + [0] * 762)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), np.broadcast_to([10, 20, 30], (4, 4, 3)))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_rotation_is_applied(tmp_path, file_format, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(COLOUR, file_format, exif=exif))
    np.testing.assert_array_equal(read_image(tmp_path / "a"), turn(COLOUR))


def test_rotation_of_sixteen_bit_tiff(tmp_path):
    for orientation, turned in ((5, COLOUR.transpose(1, 0, 2)), (6, np.rot90(COLOUR, -1)), (4, COLOUR[::-1])):
        (tmp_path / "a.tif").write_bytes(deep_tiff(DEEP, extratags=[(274, "H", 1, orientation, True)]))
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), turned)


def test_twelve_bits_in_a_sixteen_bit_png_are_scaled_by_the_camera_range(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_png(TWELVE_BIT))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.round(TWELVE_BIT / (4095 / 255)))


@pytest.mark.parametrize(
    "name",
    ["rgb.png", "lzw.tiff", "rgb.tif", "packbits.TIF", "rgb16.tif", "rgb.ppm", "rgb.ppm.gz", "grey16.pgm", "grey.gif"],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_truncated_files_are_refused(tmp_path, name, share):
    data = LOSSLESS[name][0]
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(SynthMedError, match=f"{name}.*(cut short|truncated|whole gzip).*copy it again"):
        read_image(tmp_path / name)


def test_a_truncated_jpeg_is_refused_even_where_pillow_was_told_to_accept_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "a.jpg").write_bytes(encoded(COLOUR, "JPEG")[:-40])
    with pytest.raises(SynthMedError, match=r"a\.jpg is truncated or damaged .* copy it again"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"a\.png is empty \(0 bytes\); copy it again"),
        (b"not an image at all", r"a\.png is no image that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"a\.png is no image that can be read"),
        (encoded(np.zeros((3, 3), np.float32), "TIFF"), r"a\.png has 32 bits a channel; save it again"),
        (b"P5 %d 2 255\n" % (MAX_PIXELS // 2 + 1), r"a\.png has more than 80 million pixels; make it smaller"),
        (b"P5 400000 400000 255\n", r"a\.png has more than 80 million pixels; make it smaller"),
    ],
)
def test_what_is_no_image_gets_a_sentence(tmp_path, content, sentence):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SynthMedError, match=sentence):
        read_image(tmp_path / "a.png")


def test_missing_files_and_folders_get_a_sentence(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(SynthMedError, match=f"{path.name} could not be opened"):
            read_image(path)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (3, 253), (7, 8)])
def test_masks_of_any_two_values(tmp_path, values):
    (tmp_path / "m.png").write_bytes(encoded(np.where(VESSELS, values[1], values[0]).astype(np.uint8), "PNG"))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), VESSELS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bit.png", encoded(VESSELS, "PNG")),
        ("bit.tif", encoded(VESSELS, "TIFF", compression="group4")),
        ("deep.png", encoded(VESSELS.astype(np.uint16), "PNG")),
        ("deep.tif", encoded(VESSELS.astype(np.uint16) * 65535, "TIFF")),
        ("rgb.png", encoded(np.where(VESSELS[..., None], [255, 0, 0], [0, 0, 0]).astype(np.uint8), "PNG")),
        ("two_colours.png", encoded(np.where(VESSELS[..., None], [255, 0, 90], [0, 200, 90]).astype(np.uint8), "PNG")),
        ("alpha.png", encoded(np.dstack([np.zeros((40, 50, 3)), VESSELS * 255.0]).astype(np.uint8), "PNG")),
        ("opaque.png", encoded(np.dstack([VESSELS * 255.0] * 3 + [np.full((40, 50), 255)]).astype(np.uint8), "PNG")),
        ("la.png", encoded(np.dstack([VESSELS * 255.0, np.full((40, 50), 255)]).astype(np.uint8), "PNG")),
        ("ringing.jpg", encoded((VESSELS * 255.0).astype(np.uint8), "JPEG", quality=75)),
        ("m.ppm.gz", gzip.compress(encoded((VESSELS * 255.0).astype(np.uint8), "PPM"), mtime=0)),
    ],
)
def test_masks_of_any_kind(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(read_mask(tmp_path / name), VESSELS)


def test_a_palette_gif_that_decodes_to_3_and_253(tmp_path):
    image = Image.fromarray(VESSELS.astype(np.uint8)).convert("P")
    image.putpalette([3, 3, 3, 253, 253, 253] + [0] * 762)
    image.save(tmp_path / "01_manual2.gif")
    np.testing.assert_array_equal(read_mask(tmp_path / "01_manual2.gif"), VESSELS)


RAMP = np.linspace(0, 255, 2000).reshape(40, 50).astype(np.uint8)
ARTERIES_AND_VEINS = np.zeros((40, 50, 3), np.uint8)
ARTERIES_AND_VEINS[5:10, :, 0] = ARTERIES_AND_VEINS[20:25, :, 2] = 255


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((8, 8), np.uint8), "m.png is no mask: all of its pixels have the value 0; give a file"),
        (np.full((8, 8), 255, np.uint8), "m.png is no mask: all of its pixels have the value 255; give a file"),
        (RAMP, r"m.png is no mask: \d\d% of its pixels are neither dark nor bright.*two values"),
        (COLOUR, r"m.png is no mask: \d\d% of its pixels are neither dark nor bright.*two values"),
        (ARTERIES_AND_VEINS, "m.png has the colours #000000, #0000ff and #ff0000: it is a label map.*--vessel-labels"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, sentence):
    (tmp_path / "m.png").write_bytes(encoded(array, "PNG"))
    with pytest.raises(SynthMedError, match=sentence):
        read_mask(tmp_path / "m.png")


def test_the_share_of_grey_that_a_mask_may_have(tmp_path):
    array = np.zeros((10, 100), np.uint8)
    array[0] = 255
    array[1, :50] = np.arange(70, 120)
    write_png(tmp_path / "m.png", array)
    assert read_mask(tmp_path / "m.png").sum() == 100
    array[1, :51] = np.arange(70, 121)
    write_png(tmp_path / "m.png", array)
    with pytest.raises(SynthMedError, match="5% of its pixels"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("array", [GREY, GREY[..., None], COLOUR, COLOUR[:1, :3], COLOUR[:3, :1, :1], GREY > 128])
def test_png_gives_back_what_it_was_given(array):
    expected = array.astype(np.uint8) * 255 if array.dtype == bool else array
    expected = expected if expected.ndim == 3 else expected[..., None]
    np.testing.assert_array_equal(decode_png(encode_png(array)), expected)


@pytest.mark.parametrize("array", [COLOUR.astype(np.float32), COLOUR[None], np.zeros((4, 4, 2), np.uint8), GREY[:0]])
def test_png_refuses_what_is_no_image(array):
    with pytest.raises(ValueError, match="Received: dtype"):
        encode_png(array)


def test_decode_png_refuses_other_bytes():
    for data in (b"", b"GIF89a", encoded(COLOUR, "JPEG"), encode_png(COLOUR)[:-200]):
        with pytest.raises(SynthMedError, match="the PNG data"):
            decode_png(data)
    with pytest.raises(SynthMedError, match="16 bits a channel"):
        decode_png(encoded(GREY.astype(np.uint16) * 257, "PNG"))


def test_write_png_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    write_png(path, COLOUR)
    np.testing.assert_array_equal(read_image(path), COLOUR)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_png(path, COLOUR)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SynthMedError, match=r"a\.png could not be written \(No space left on device\); check"):
        write_png(path, COLOUR[::-1])
    np.testing.assert_array_equal(read_image(path), COLOUR)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_write_png_makes_folders_but_not_out_of_files(tmp_path):
    write_png(tmp_path / "new" / "a.png", COLOUR)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), COLOUR)
    with pytest.raises(SynthMedError, match=r"b\.png could not be written \(.+\); check the folder"):
        write_png(tmp_path / "new" / "a.png" / "b.png", COLOUR)


def test_grid_places_images_in_rows():
    images = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)])
    expected = np.full((7, 9), 255)
    expected[1:3, 1:4], expected[1:3, 5:8], expected[4:6, 1:4] = 10, 20, 30
    np.testing.assert_array_equal(grid(images, 2, margin=1)[..., 0], expected)


def test_grid_generates_no_empty_columns_and_refuses_other_input():
    assert grid(COLOUR[None], 8).shape == (24, 34, 3)
    for images, columns in ((COLOUR, 1), (COLOUR[None], 0), (COLOUR[None][:0], 1), (COLOUR[None] / 255, 1)):
        with pytest.raises(ValueError, match="Received"):
            grid(images, columns)
