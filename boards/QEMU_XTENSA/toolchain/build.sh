#!/usr/bin/env bash
# Makes a compiler for processors of the ESP32's kind (Xtensa LX, windowed ABI) from Debian's for the
# ESP8266: build.sh SOURCES DEST. Called by `boards/setup.sh xtensa`, which puts the files that
# sources.sha256 lists into SOURCES.
#
# GNU binutils take the description of an Xtensa processor from a plugin that XTENSA_GNU_CONFIG
# names. Two are made here: DEST/qemu.so is what QEMU's core de233_fpu executes, and the default;
# DEST/esp32.so has the ESP32's options besides (MULUH and MULSH, unaligned access). The compiler
# itself reads it from GCC 13 on: older ones make windowed code that knows of no FPU and no divider.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$1
dest=$2
cd "$sources"
sha256sum --check --quiet "$here/sources.sha256"
mkdir -p "$dest/bin" "$dest/libgcc"

# --- the two descriptions of the processor
sed 's/#include "xtensa-isa-internal.h"/#include <stdint.h>\n#include "ansidecl.h"\n&/' \
    xtensa-modules.c.inc >modules_qemu.c
python3 "$here/multiply_high.py" modules_qemu.c modules_esp32.c
for core in qemu esp32; do
    python3 "$here/core_description.py" xtensa-dynconfig.h $core config_$core.c config_$core.h
    gcc -shared -fPIC -O1 -w -I. config_$core.c modules_$core.c -o "$dest/$core.so"
done

# --- commands: xtensa-esp32-elf-gcc and so on
cat >"$dest/bin/run" <<END
#!/bin/sh
name=\${0##*/xtensa-esp32-elf-}
export XTENSA_GNU_CONFIG="\${XTENSA_GNU_CONFIG:-$dest/qemu.so}"
if [ "\$name" != gcc ]; then
    exec "xtensa-lx106-elf-\$name" "\$@"
fi
for argument; do
    case \$argument in
        -print-libgcc-file-name | --print-libgcc-file-name) echo "$dest/libgcc/libgcc.a"; exit ;;
    esac
done
exec xtensa-lx106-elf-gcc -mabi=windowed -mlongcalls -isystem /usr/lib/xtensa-lx106-elf/include "\$@"
END
chmod +x "$dest/bin/run"
for name in gcc as ld ar objcopy objdump size nm strip readelf cpp ranlib; do
    ln -sf run "$dest/bin/xtensa-esp32-elf-$name"
done
PATH=$dest/bin:$PATH

# --- libgcc for the windowed ABI: Debian's is for the other one
cp config_qemu.h xtensa-config-builtin.h
functions=$(sed -n '/LIB1ASMFUNCS/,/[^\\]$/p' t-xtensa | tr -d '\\' | sed 's/LIB1ASMFUNCS *=//')
for function in $functions; do
    xtensa-esp32-elf-gcc "-DL$function" -I. -c lib1funcs.S -o "$dest/libgcc/$function.o"
done
xtensa-esp32-elf-gcc -I. -c lib2funcs.S -o "$dest/libgcc/lib2funcs.o"
xtensa-esp32-elf-gcc -O2 -fno-builtin -c "$here/libgcc64.c" -o "$dest/libgcc/libgcc64.o"
rm -f "$dest/libgcc/libgcc.a"
xtensa-esp32-elf-ar rcs "$dest/libgcc/libgcc.a" "$dest"/libgcc/*.o

# --- setjmp for the windowed ABI
mkdir -p machine
cp core-isa.h machine/
xtensa-esp32-elf-gcc -I. -c setjmp.S -o "$dest/setjmp.o"
