"""What tests know of the phantoms that the `phantoms` fixture writes."""

PHANTOM_SIDE = 160  # pixels
