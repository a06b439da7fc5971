"""What a file is, by its first bytes: whatever its name or its sender says."""

import codecs
from typing import Final

import filetype

LOOKED_AT: Final = 8192
"""Bytes from the beginning of a file that say what it is."""
SHOWN: Final = frozenset({"image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"})
"""Pictures without scripts in them: a browser may show them. All else it is told to save."""
ANYTHING: Final = "application/octet-stream"


def content_type(head: bytes) -> str:
    """The kind of a file; `application/octet-stream` where nothing is known of it."""
    known = filetype.guess_mime(head) if head else None
    if known:
        return str(known)
    if not _is_text(head):
        return ANYTHING
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return "text/html"
    if b"<svg" in begins:
        return "image/svg+xml"
    return "text/plain"


def _is_text(head: bytes) -> bool:
    if not head or b"\0" in head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its last letter may be cut off
    except UnicodeDecodeError:
        return False
    return True
