"""What can be wrong with picture files."""


class PictureError(ValueError):
    """A picture or mask that cannot be read, used or written; the message names the file and says what to do."""
