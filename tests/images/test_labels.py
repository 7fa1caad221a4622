"""Label maps: the union of the labels that are named, or a refusal that names the values; masks with alpha."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import parse_labels, read_mask

LABELS = np.zeros((100, 100), np.uint8)
LABELS[:, 10:14], LABELS[:, 50:58] = 1, 2
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


def saved(path, image, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


def palette(labels):
    image = Image.fromarray(labels).convert("P")
    image = Image.fromarray(labels, "L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(list(COLOURS.ravel()) + [0] * (768 - COLOURS.size))
    return image


def test_labels_are_united(tmp_path):
    path = saved(tmp_path / "m.png", LABELS)
    mask = read_mask(path, (1, 2))
    np.testing.assert_array_equal(mask, LABELS > 0)
    assert mask.mean() == 0.12 and read_mask(path, (2,)).mean() == 0.08


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 1, 255), (0, 128, 255), (0, 127, 254)])
def test_a_label_map_is_refused_with_its_values_and_the_option(tmp_path, values):
    path = saved(tmp_path / "m.png", np.array(values, np.uint8)[LABELS])
    named = f"the values {values[0]}, {values[1]} and {values[2]}"
    with pytest.raises(SynthMedError, match=rf"m\.png has {named}: it is a label map.*--vessel-labels"):
        read_mask(path)
    np.testing.assert_array_equal(read_mask(path, (values[1],)), LABELS == 1)


def test_unknown_as_255_is_background_where_the_vessels_are_named(tmp_path):
    path = saved(tmp_path / "m.png", np.array([0, 1, 255], np.uint8)[LABELS])
    np.testing.assert_array_equal(read_mask(path, (1,)), LABELS == 1)


def test_palettes_by_index_and_by_colour(tmp_path):
    path = saved(tmp_path / "m.png", palette(LABELS))
    np.testing.assert_array_equal(read_mask(path, (1, 2)), LABELS > 0)
    np.testing.assert_array_equal(read_mask(path, parse_labels("blue")), LABELS == 2)
    with pytest.raises(SynthMedError, match=r"values 0 \(#000000\), 1 \(#ff0000\) and 2 \(#0000ff\).*--vessel-labels"):
        read_mask(path)


def test_artery_and_vein_maps_by_colour(tmp_path):
    path = saved(tmp_path / "m.png", COLOURS[LABELS])
    np.testing.assert_array_equal(read_mask(path, parse_labels("red,blue")), LABELS > 0)
    np.testing.assert_array_equal(read_mask(path, parse_labels("#ff0000")), LABELS == 1)
    with pytest.raises(SynthMedError, match=r"has the colours #000000, #0000ff and #ff0000: it is a label map"):
        read_mask(path)


def test_labels_that_are_not_there_are_refused_with_those_that_are(tmp_path):
    path = saved(tmp_path / "m.png", LABELS)
    for text, named in (("3,7", "3, 7"), ("red", "#ff0000")):
        with pytest.raises(SynthMedError, match=rf"has none of the labels {named}; it has the values 0, 1 and 2"):
            read_mask(path, parse_labels(text))
    path = saved(tmp_path / "c.png", COLOURS[LABELS])
    with pytest.raises(SynthMedError, match=r"none of the labels 1, 2; it has the colours"):
        read_mask(path, (1, 2))


def test_lossy_label_maps_are_refused(tmp_path):
    path = saved(tmp_path / "m.jpg", np.array([0, 128, 255], np.uint8)[LABELS], quality=90)
    with pytest.raises(SynthMedError, match=r"m\.jpg has a third value near 12\d"):
        read_mask(path)
    with pytest.raises(SynthMedError, match=r"m\.jpg is no label map: it is a lossy file"):
        read_mask(path, (128,))


def test_two_values_in_a_jpeg_are_no_label_map(tmp_path):
    path = saved(tmp_path / "m.jpg", (LABELS > 0) * np.uint8(255), quality=60)
    np.testing.assert_array_equal(read_mask(path), LABELS > 0)


def test_dark_vessels(tmp_path):
    path = saved(tmp_path / "m.jpg", np.where(LABELS > 0, 30, 255).astype(np.uint8), quality=95)
    np.testing.assert_array_equal(read_mask(path, dark=True), LABELS > 0)


def rgba(shown, hidden):
    alpha = (LABELS > 0)[..., None]
    colours = np.where(alpha, np.array(shown), np.array(hidden))
    return np.dstack([colours, alpha * 255]).astype(np.uint8)


@pytest.mark.parametrize("shown", [(255, 0, 0), (0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("hidden", [(255, 255, 255), (0, 0, 0), (9, 99, 199)])
def test_one_colour_on_transparency_is_read_by_its_alpha(tmp_path, shown, hidden):
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.png", rgba(shown, hidden))), LABELS > 0)


def test_alpha_and_colours_that_both_vary_are_refused(tmp_path):
    image = rgba((255, 255, 255), (0, 0, 0))
    image[:30, :, 3] = 255
    with pytest.raises(SynthMedError, match=r"its alpha channel and its visible colours both vary"):
        read_mask(saved(tmp_path / "m.png", image))


def test_a_transparent_palette_is_read_by_its_alpha(tmp_path):
    buffer = BytesIO()
    palette((LABELS > 0).astype(np.uint8)).save(buffer, "PNG", transparency=0)
    (tmp_path / "m.png").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), LABELS > 0)


@pytest.mark.parametrize(
    ("text", "labels"),
    [("1,2", (1, 2)), (" red , #0000FF,", ((255, 0, 0), (0, 0, 255))), ("1,1,white", (1, (255, 255, 255)))],
)
def test_lists_of_labels(text, labels):
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["", " , ", "1;2", "-1", "#ff", "rouge", "1.5"])
def test_lists_of_labels_that_cannot_be_read(text):
    with pytest.raises(SynthMedError, match="Option --vessel-labels"):
        parse_labels(text)
