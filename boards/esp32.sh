#!/usr/bin/env bash
# Builds the firmware of an ESP32 board with ESP-IDF: boards/esp32.sh BOARD [VARIANT], or `make firmware BOARD=...`.
# Leaves firmware.bin (bootloader, partition table and program in one) and firmware.elf in build/firmware/BOARD[-VARIANT]/.
#
# Needs an installed and exported ESP-IDF (`. $IDF_PATH/export.sh`) and git; or the same in Espressif's container:
#   docker run --rm -v "$PWD":/project -w /project espressif/idf:v5.2.2 boards/esp32.sh ESP32_GENERIC
#
# Environment:
#   MICROPYTHON_DIR  a MicroPython tree with the esp32 port's submodules (default: a git clone in build/src/micropython-esp32)
#   BUILD_DIR        where to build (default: build)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=versions.env
source "$root/boards/versions.env"

say() { printf 'esp32: %s\n' "$*" >&2; }
die() { printf 'esp32: error: %s\n' "$*" >&2; exit 1; }

out=${BUILD_DIR:-$root/build}
board=${1:?usage: boards/esp32.sh BOARD [VARIANT]}
variant=${2:-}
name=$board${variant:+-$variant}
[ -f "$root/boards/$board/partitions.csv" ] ||
    die "no ESP32 board $board: there are $(cd "$root/boards" && echo ESP32_*)"
[ -z "$variant" ] || [ -f "$root/boards/$board/mpconfigvariant_$variant.cmake" ] ||
    die "$board has no variant $variant"

if [ -z "${IDF_PATH:-}" ] || ! command -v idf.py >/dev/null; then
    die "no ESP-IDF: install $IDF_VERSION and run '. \$IDF_PATH/export.sh' in this shell, or build in Espressif's container:" \
        "docker run --rm -v \"\$PWD\":/project -w /project espressif/idf:$IDF_VERSION boards/esp32.sh $board $variant"
fi
idf=$(idf.py --version | sed -n 's/^ESP-IDF \(v[0-9.]*\).*/\1/p')
case " $IDF_VERSIONS " in
    *" $idf "*) ;;
    *) die "ESP-IDF ${idf:-of unknown version} at $IDF_PATH: MicroPython $MICROPYTHON_VERSION builds with $IDF_VERSIONS ($IDF_VERSION is what its own tests use)" ;;
esac

tree=${MICROPYTHON_DIR:-$root/build/src/micropython-esp32}
if [ -z "${MICROPYTHON_DIR:-}" ] && [ ! -d "$tree" ]; then
    say "cloning MicroPython $MICROPYTHON_TAG"
    mkdir -p "$root/build/src"
    rm -rf "$tree.part"
    git clone -q --depth 1 --branch "$MICROPYTHON_TAG" "$MICROPYTHON_GIT" "$tree.part" ||
        die "cannot clone $MICROPYTHON_GIT: set MICROPYTHON_DIR to a tree of MicroPython $MICROPYTHON_VERSION"
    mv "$tree.part" "$tree"
fi

found=$(sed -n 's/^#define MICROPY_VERSION_\(MAJOR\|MINOR\|MICRO\) //p' "$tree/py/mpconfig.h" 2>/dev/null | tr -d '()' | paste -sd. || true)
[ "$found" = "$MICROPYTHON_VERSION" ] || die "$tree is MicroPython ${found:-of unknown version}, expected $MICROPYTHON_VERSION"

build=$out/firmware-build/$name
arguments=(
    -C "$tree/ports/esp32"
    BOARD="$board" BOARD_VARIANT="$variant" BOARD_DIR="$root/boards/$board" BUILD="$build"
    USER_C_MODULES="$root/usermod_c/micropython.cmake"
)
# Without the variables that the calling make hands down.
unset MAKEFLAGS MFLAGS MAKELEVEL
[ ! -e "$tree/.git" ] || make "${arguments[@]}" submodules
make "${arguments[@]}"

# idf.py leaves the program as micropython.elf.
nm=$(sed -n 's/^CMAKE_NM:FILEPATH=//p' "$build/CMakeCache.txt")
symbols=$("${nm:-nm}" "$build/micropython.elf" || true)
for symbol in mt_model_open mt_plan mt_session_backward microtrain_module; do
    grep -q " $symbol\$" <<<"$symbols" || die "$build/micropython.elf is without the engine: no $symbol"
done
to=$out/firmware/$name
mkdir -p "$to"
cp "$build/firmware.bin" "$to/firmware.bin"
cp "$build/micropython.elf" "$to/firmware.elf"
say "$to/firmware.bin: $(stat -c %s "$to/firmware.bin") bytes"
