"""What an image file says of itself before it is decoded: how it stores colours, how many frames, how it is turned."""

from __future__ import annotations

import io

from PIL import Image as Pillow
from PIL.ExifTags import Base

GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "F")
PNG_DEPTH = 24  # the byte of a PNG that holds its bits per channel (PNG specification, 11.2.1)


def oddities(content: bytes) -> tuple[str, ...]:
    """In words, what is unusual about the bytes of an image file that can be read; nothing of plain RGB."""
    try:
        with Pillow.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(Base.Orientation, 1) not in (0, 1)
            frames = getattr(image, "n_frames", 1)
            found = {
                "grey": image.mode in GREY,
                "CMYK": image.mode == "CMYK",
                "palette": image.mode in ("P", "PA"),
                "transparent": image.has_transparency_data,
                "16 bit": image.mode.startswith("I") or (image.format == "PNG" and content[PNG_DEPTH] == 16),
                "animated": frames > 1 and image.format != "MPO",  # a phone's JPEG may carry a preview as second frame
                "turned by EXIF": turned,
            }
    except Exception:  # metadata that cannot be read says nothing; the image itself has been read before
        return ()
    return tuple(word for word, is_so in found.items() if is_so)
