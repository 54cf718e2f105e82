"""Describe container images in Python; the program `starling` builds and runs them.

import starling

image = starling.Image.from_registry("ubuntu:22.04", add_python="3.11").uv_pip_install("polars")
image.build("app")
"""

from starling import exceptions
from starling.image import Image
from starling.patterns import FilePatternMatcher
from starling.secret import Secret

__all__ = ["FilePatternMatcher", "Image", "Secret", "exceptions"]
