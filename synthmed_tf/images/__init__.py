"""Image files in and out: images, masks and label maps, PNG bytes and grids of images."""

from synthmed_tf.images.decoding import (
    EXTENSIONS,
    MAX_BYTES,
    MAX_PIXELS,
    Decoded,
    read_bytes,
    unpack,
)
from synthmed_tf.images.labels import Label, parse_labels
from synthmed_tf.images.opening import decode_bytes, decode_file
from synthmed_tf.images.reading import image_of, mask_of, read_image, read_mask, split_alpha
from synthmed_tf.images.writing import decode_png, encode_png, grid, write_png

__all__ = [
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Decoded",
    "Label",
    "decode_bytes",
    "decode_file",
    "decode_png",
    "encode_png",
    "grid",
    "mask_of",
    "parse_labels",
    "image_of",
    "read_bytes",
    "read_image",
    "read_mask",
    "split_alpha",
    "unpack",
    "write_png",
]
