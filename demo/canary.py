"""Looks for values that must not be there, in every form in which they could be: as they are, in hex, in Base64 at its three offsets,
in JSON's escapes, in UTF-16.

Thousands of values are sought at once: the first WINDOW bytes of each form of each value lead to it, a window slides over the data, and
where it hits, the first MATCH bytes are compared. A form shorter than WINDOW is not sought, so callers plant values of 10 bytes and more.
"""
import base64
import json
import os

WINDOW = 10
MATCH = 48


def forms(value):
    """The forms of a value (bytes), by name."""
    yield "raw", value
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    for offset, spoilt in ((0, 0), (1, 2), (2, 3)):  # characters that also depend on what stands before the value
        text = base64.b64encode(b"\0" * offset + value)
        yield f"base64+{offset}", text[spoilt:(offset + len(value)) * 8 // 6]  # without the characters that depend on what follows
    try:
        text = value.decode()
        yield "json", json.dumps(text)[1:-1].encode()
        yield "utf-16", text.encode("utf-16-le")
    except UnicodeDecodeError:
        yield "json", json.dumps(value.decode("latin-1"))[1:-1].encode()  # as Avro's JSON encoding has bytes


class Canaries:
    """What is sought. find() says which values were found, and in which form."""

    def __init__(self, values):
        self.windows = {}
        self.count = 0
        for value in values:
            self.count += 1
            for form, text in forms(value):
                if len(text) >= WINDOW:
                    self.windows.setdefault(text[:WINDOW], []).append((text[:MATCH], form, value))

    def find(self, data):
        """{(form, value)} of what stands anywhere in the data."""
        windows = self.windows
        hits = [i for i in range(len(data) - WINDOW + 1) if data[i:i + WINDOW] in windows]
        return {(form, value) for i in hits for text, form, value in windows[data[i:i + WINDOW]] if data.startswith(text, i)}

    def find_in_files(self, *paths):
        """The same over files and folders: ({(path, form, value)}, files looked at, bytes looked at)."""
        found, files, size = set(), 0, 0
        for path in files_under(paths):
            with open(path, "rb") as f:
                data = f.read().rstrip(b"\0")  # Kafka makes its index files large beforehand
            files += 1
            size += len(data)
            found |= {(path, form, value) for form, value in self.find(data)}
        return found, files, size


def files_under(paths):
    for top in paths:
        if os.path.isfile(top):
            yield top
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path
