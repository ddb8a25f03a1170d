"""Copy the README's figure out of the chapter that draws it."""

import base64
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parent


def figure():
    """The first PNG among the stored outputs of chapters/setting.ipynb, as bytes."""
    chapter = nbformat.read(FOLDER.parent / "chapters" / "setting.ipynb", as_version=4)
    outputs = (output for cell in chapter.cells for output in cell.get("outputs", []))
    images = (output.data.get("image/png") for output in outputs if "data" in output)
    return base64.b64decode(next(image for image in images if image))


if __name__ == "__main__":
    (FOLDER / "readme_figure.png").write_bytes(figure())
