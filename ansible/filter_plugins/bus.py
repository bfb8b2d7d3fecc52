"""`name | bus_token`: a name as one token of a bus subject; the same escape as busToken in libs/bus."""

from __future__ import annotations

import re


def bus_token(text):
    if not text:
        return "_"
    return "".join(
        chr(byte) if re.match(r"[A-Za-z0-9-]", chr(byte)) else "=%02x" % byte for byte in text.encode()
    )


class FilterModule:
    def filters(self):
        return {"bus_token": bus_token}
