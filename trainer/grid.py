"""A labelled sheet of images: rows are models, columns are prompts."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

WHITE = (255, 255, 255)
INK = (32, 33, 36)
LINE_SPACING = 1.25  # of the font's size

Row = tuple[str, Sequence[Image.Image]]


def labelled_grid(
    rows: Sequence[Row], column_labels: Sequence[str] = (), *, top_rows: Sequence[Row] = (), cell: int = 128
) -> Image.Image:
    """Lay images out under their column's label and beside their row's.

    rows: (label, images) each, images under the columns in order; a short row leaves blank cells.
    top_rows: rows above the column labels, for images that the labels do not describe (the photos).
    cell: side of a cell in pixels; images are scaled to fit, never cropped. Labels are wrapped to a cell's
    width and always shown whole: the sheet grows instead.
    Returns an RGB image on white. Raises ValueError when there is no image to show.
    """
    all_rows = [*top_rows, *rows]
    columns = max([len(column_labels), *(len(images) for _, images in all_rows)], default=0)
    if not any(images for _, images in all_rows):
        raise ValueError("a grid needs at least one image")
    font = _font(cell)
    gutter = max(4, cell // 16)
    row_labels = [_wrapped(label, font, cell) for label, _ in all_rows]
    headings = [_wrapped(label, font, cell) for label in column_labels]
    heights = [max(cell, _height(lines, font)) for lines in row_labels]
    heading_height = max((_height(lines, font) for lines in headings), default=0)
    label_width = max(_width(lines, font) for lines in row_labels)

    left = 2 * gutter + (label_width + gutter if label_width else 0)
    width = left + columns * (cell + gutter) + gutter
    height = 3 * gutter + sum(heights) + gutter * len(heights) + (heading_height + gutter if headings else 0)
    sheet = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(sheet)

    y = 2 * gutter
    for number, ((_, images), lines, row_height) in enumerate(
        zip(all_rows, row_labels, heights, strict=True)
    ):
        if number == len(top_rows) and headings:
            y = _draw_headings(draw, headings, (left, y), cell, gutter, font, heading_height)
        _draw_lines(
            draw, lines, (2 * gutter, y + (row_height - _height(lines, font)) // 2), font, anchor="la"
        )
        for column, image in enumerate(images):
            _paste(sheet, image, (left + column * (cell + gutter), y + (row_height - cell) // 2), cell)
        y += row_height + gutter
    return sheet


def _draw_headings(
    draw: ImageDraw.ImageDraw,
    headings: Sequence[Sequence[str]],
    corner: tuple[int, int],
    cell: int,
    gutter: int,
    font: ImageFont.FreeTypeFont,
    heading_height: int,
) -> int:
    """Write the column labels, centred and resting on the images below; returns the y of those images."""
    left, top = corner
    for column, lines in enumerate(headings):
        x = left + column * (cell + gutter) + cell // 2
        _draw_lines(draw, lines, (x, top + heading_height - _height(lines, font)), font, anchor="ma")
    return top + heading_height + gutter


def _draw_lines(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont,
    anchor: str,
) -> None:
    x, y = corner
    for line in lines:
        draw.text((x, y), line, fill=INK, font=font, anchor=anchor)
        y += _line_height(font)


def _paste(sheet: Image.Image, image: Image.Image, corner: tuple[int, int], cell: int) -> None:
    """Scale the image to fit the square cell and centre it there."""
    fitted = ImageOps.contain(image.convert("RGB"), (cell, cell), Image.Resampling.LANCZOS)
    x, y = corner
    sheet.paste(fitted, (x + (cell - fitted.width) // 2, y + (cell - fitted.height) // 2))


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Split into lines of at most `width` pixels, at spaces where there are any, else inside the word."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            candidate = f"{line} {word}" if line else word
            if font.getlength(candidate) <= width:
                line = candidate
                continue
            if line:
                lines.append(line)
            *whole, line = _pieces(word, font, width)
            lines.extend(whole)
        if line:
            lines.append(line)
    return lines


def _pieces(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Cut one word into pieces that fit; a single letter is a piece even where it does not."""
    pieces = [word[0]]
    for letter in word[1:]:
        if font.getlength(pieces[-1] + letter) <= width:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _font(cell: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=max(10, round(cell * 0.11)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # the other kind is only for a Pillow without FreeType
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * LINE_SPACING)


def _height(lines: Sequence[str], font: ImageFont.FreeTypeFont) -> int:
    return _line_height(font) * len(lines)


def _width(lines: Sequence[str], font: ImageFont.FreeTypeFont) -> int:
    return max((int(font.getlength(line)) + 1 for line in lines), default=0)
