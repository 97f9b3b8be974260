"""Mounts the file system at /, made if there is none."""

import vfs
from qemu import flash

try:
    fs = vfs.VfsLfs2(flash, progsize=256)
except OSError:
    vfs.VfsLfs2.mkfs(flash, progsize=256)
    fs = vfs.VfsLfs2(flash, progsize=256)
vfs.mount(fs, "/")

del vfs, flash, fs
