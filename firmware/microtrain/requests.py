# What a host asks for over the link: files, blocks of ROMFS, runs. Specification: host/README.md.

import os

import _microtrain

from microtrain.link import BYTES, Gone, failure


class Requests:
    """Does the requests that come over `link`."""

    def __init__(self, link):
        self.link = link

    def handle(self, request):
        return getattr(self, "do_" + request["do"])(request)

    # ---- files ----

    def do_put(self, request):
        """Receive a file beside the target, and rename it into place once it has been read back
        and its SHA-256 is right. What came of it before the host went away is used again."""
        path, size, digest = request["path"], request["size"], request["sha256"]
        part = "%s.%s.part" % (path, digest[:8])
        _remove_parts(path, part)
        try:
            offset = os.stat(part)[6]
            if offset > size:
                os.remove(part)
                offset = 0
        except OSError:
            offset = 0
        with open(part, "ab") as file:
            self.link.answer({"offset": offset})
            while offset < size:
                data = self.link.bytes()
                file.write(data)
                offset += len(data)
        if _sha256(part) != digest:
            os.remove(part)
            raise OSError("SHA-256 of what arrived is wrong, file not changed")
        rename(part, path)

    def do_get(self, request):
        """Send a file, from an offset on if the host has the bytes before it."""
        path, offset = request["path"], request["offset"]
        size = os.stat(path)[6]
        digest = _microtrain.SHA256()
        self.link.control = _abort
        try:
            with open(path, "rb") as file:
                block, left = memoryview(bytearray(512)), min(offset, size)
                while left:
                    n = file.readinto(block[: min(512, left)])
                    digest.update(block[:n])
                    left -= n
                if offset and digest.digest().hex() != request["sha256"]:
                    offset, digest = 0, _microtrain.SHA256()
                    file.seek(0)
                self.link.answer({"size": size, "offset": offset})
                slot, commit = self.link.slot, self.link.commit
                read, update = file.readinto, digest.update
                while True:
                    block = slot()
                    n = read(block)
                    if not n:
                        break
                    update(block if n == len(block) else block[:n])
                    commit(BYTES, n)
        finally:
            self.link.control = None
        return {"sha256": digest.digest().hex()}

    def do_sha256(self, request):
        """The file's digest, None where there is no file: what need not be sent."""
        try:
            return {"sha256": _sha256(request["path"])}
        except OSError:
            return {"sha256": None}

    def do_rom(self, request):
        """Write blocks of the flash that holds ROMFS."""
        from microtrain.rom import Writer

        left, writer = request["size"], Writer(request["offset"], request["block"])
        self.link.answer({})
        while left:
            data = self.link.bytes()
            writer.write(data)
            left -= len(data)
        writer.close()

    # ---- runs ----

    def do_call(self, request):
        """Run a function of microtrain.run. What it reports are events, the last one is "end"."""
        from microtrain import run

        link, session = self.link, self.link.session
        if link.attached:
            link.answer({"event": link.event})
        link.run = {"function": request["function"], "ended": False, "event": link.event}
        link.control = self.control
        end = {"event": "end"}
        try:
            run.call(request["version"], request["function"], request["options"])
        except Exception as error:
            end.update(failure(error))
        finally:
            link.control = link.take = None
        link.run["ended"] = True
        link.emit(end)
        if link.attached and link.session == session:
            link.run = None
        raise Gone  # the end is an event, not an answer

    def do_events(self, request):
        return self.link.send_events(request["from"])

    def control(self, request):
        """What the host asks for while a run is under way."""
        from microtrain import run

        if request["do"] == "control":
            run.control(request)
        elif request["do"] == "events":
            try:
                self.link.answer(self.do_events(request))
            except Gone:
                pass


def _abort(request):
    raise OSError("aborted by the host")


def rename(part, path):
    """Have `part` as `path`, whatever was there."""
    try:
        os.rename(part, path)
    except OSError:
        os.remove(path)  # FAT does not rename over a file
        os.rename(part, path)


def _sha256(path):
    digest, block = _microtrain.SHA256(), memoryview(bytearray(4096))
    with open(path, "rb") as file:
        while True:
            n = file.readinto(block)
            if not n:
                return digest.digest().hex()
            digest.update(block[:n])


def _remove_parts(path, but):
    # Of earlier transfers that nobody finished.
    at = path.rfind("/") + 1
    folder, name = path[:at], path[at:] + "."
    for entry in os.ilistdir(folder):
        found = folder + entry[0]
        digits = entry[0][len(name) : -5]
        if found == folder + name + digits + ".part" and len(digits) == 8 and found != but:
            os.remove(found)
