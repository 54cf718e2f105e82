"""Small trees with planted breaches, for the tests of what holds this one."""

import contextlib
import pathlib
import tempfile


@contextlib.contextmanager
def planted_tree(module, files):
    """Lets `module` look at a tree of these files: names and texts."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        module.ROOT = root
        yield
