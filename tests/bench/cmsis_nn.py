"""CMSIS-NN's forward kernels beside ours, on the same emulated processors and the same operators.

    .venv/bin/python tests/bench/cmsis_nn.py CHECKOUT [TARGET ...]
    make bench-kernels CMSIS_NN=CHECKOUT

CHECKOUT is a clone of CMSIS-NN; nothing of it is part of this repository. Its integer sources are
built as they are, -O3 (build/bench/cmsis_nn/), and called through its wrappers, which choose the
kernel. Outputs must be the reference's, byte for byte, with gemmlowp's two roundings, which is
what CMSIS-NN does unless it is told otherwise; some of ours here round once.
Ours includes the call from Python and the mask of outputs that are clamped, which training needs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

import instructions  # noqa: E402
from figures import Figures, Name  # noqa: E402
from kernel_graphs import KERNELS, TESTED, Kernel, graph_of  # noqa: E402
from reference.forward import run_op  # noqa: E402

from microtrain.graph import Graph, Kind, Rounding  # noqa: E402
from microtrain.link.emulated import LIBRARY  # noqa: E402

BUILD = REPO / "build" / "bench" / "cmsis_nn"
HEADER = Path("Include", "arm_nnfunctions.h")
FOLDERS = ("ConvolutionFunctions", "FullyConnectedFunctions", "NNSupportFunctions")
# Of floats, which need more headers.
OTHER_TYPES = ("_f16", "_f32", "_flt")

LINKER_SCRIPT = """
SECTIONS {{
  . = {code};
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.*) . = ALIGN(4); data_from = .; }}
  . = {ram};
  data_begin = .;
  .data : AT(data_from) {{ *(.data*) . = ALIGN(4); data_end = .; }}
  .bss : {{ *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; }}
  stack = {ram} + {ram_bytes};
}}
"""


@dataclass(frozen=True)
class Processor:
    """A target of instructions.py: how it is built for, and where code and RAM lie."""

    flags: tuple[str, ...]
    code: int
    ram: int
    ram_bytes: int


PROCESSORS = {
    "cortex-m0+": Processor(("-mcpu=cortex-m0plus",), 0x10000000, 0x20000000, 256 << 10),
    "cortex-m33": Processor(
        ("-mcpu=cortex-m33", "-mfloat-abi=hard"), 0x10000000, 0x38000000, 4 << 20
    ),
}


def checkout(text: str) -> Path:
    """The path of a CMSIS-NN checkout, for argparse."""
    path = Path(text).expanduser().resolve()
    missing = [name for name in (HEADER, *(Path("Source", folder) for folder in FOLDERS))
               if not (path / name).exists()]  # fmt: skip
    if missing:
        raise argparse.ArgumentTypeError(
            f"no CMSIS-NN at {path}: there is no {missing[0]}; give the root of a clone of "
            "ARM-software/CMSIS-NN"
        )
    return path


def commit(path: Path) -> str:
    """What is checked out at `path`; empty if it is no git repository of its own."""
    result = subprocess.run(
        ["git", "-C", str(path), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True
    )
    return result.stdout.strip() if (path / ".git").exists() else ""


def call(*command: str | Path, cwd: Path = BUILD) -> str:
    """Standard output and error of a program. Raises RuntimeError with them if it fails."""
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, timeout=120, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed ({result.returncode}):\n{result.stdout[-4000:]}")
    return result.stdout


def build_library(path: Path, target: str) -> Path:
    """The archive of CMSIS-NN's int8 kernels for a target."""
    folder = BUILD / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.[oa]"):
        old.unlink()
    sources = [
        source for name in FOLDERS for source in sorted((path / "Source" / name).glob("*.c"))
        if not any(kind in source.name for kind in OTHER_TYPES)
    ]  # fmt: skip
    call("arm-none-eabi-gcc", *PROCESSORS[target].flags, "-mthumb", "-O3", "-ffunction-sections",
         f"-I{path / 'Include'}", "-c", *sources, cwd=folder)  # fmt: skip
    call("arm-none-eabi-ar", "rcs", "libcmsis-nn.a", *sorted(folder.glob("*.o")), cwd=folder)
    return folder / "libcmsis-nn.a"


def header(graph: Graph, x: np.ndarray) -> str:
    """kernel.h of cmsis_nn.c: the tested operator of a graph, on input x."""
    op = graph.ops[TESTED]
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    linear = op.kind is Kind.LINEAR
    numbers = {
        "LINEAR": int(linear), "DEPTHWISE": int(op.kind is Kind.DEPTHWISE_CONV2D),
        "IN_H": 1 if linear else source.h, "IN_W": 1 if linear else source.w,
        "IN_C": source.size if linear else source.c,
        "OUT_H": out.h, "OUT_W": out.w, "OUT_C": out.c,
        "KERNEL_H": op.kernel[0], "KERNEL_W": op.kernel[1],
        "STRIDE_H": op.stride[0], "STRIDE_W": op.stride[1],
        "PAD_H": op.pads[0], "PAD_W": op.pads[1],
        "IN_OFFSET": -source.zero_point, "OUT_OFFSET": out.zero_point,
        "ACT_MIN": op.act_min, "ACT_MAX": op.act_max,
    }  # fmt: skip
    arrays = {
        "const int8_t input": x, "const int8_t weights": op.weights,
        "const int32_t bias": op.bias, "int32_t multipliers": op.mult, "int32_t shifts": op.shift,
    }  # fmt: skip
    lines = [f"#define {name} ({number})" for name, number in numbers.items()]
    for name, values in arrays.items():
        text = ", ".join(str(int(value)) for value in np.asarray(values).ravel())
        lines.append(f"static {name}[] __attribute__((aligned(4))) = {{{text}}};")
    return "\n".join(lines) + "\n"


def parse(text: str) -> tuple[int, int, bytes]:
    """Status, cycles or instructions, and output of what the program printed."""
    try:
        status, count, output = text.split()
        return int(status, 16), int(count, 16), bytes.fromhex(output)
    except ValueError:
        raise RuntimeError(f"not a result of cmsis_nn.c: {text[:200]!r}") from None


def run_program(
    path: Path, library: Path, target: str, kernel_header: str
) -> tuple[int, int, bytes]:
    """Build cmsis_nn.c with a kernel and run it on the target."""
    processor, folder = PROCESSORS[target], library.parent
    (folder / "kernel.h").write_text(kernel_header)
    script = LINKER_SCRIPT.format(
        code=processor.code, ram=processor.ram, ram_bytes=processor.ram_bytes
    )
    (folder / "link.ld").write_text(script)
    call("arm-none-eabi-gcc", *processor.flags, "-mthumb", "-O2", "-Wall", "-nostartfiles",
         "--specs=nosys.specs", f"-I{path / 'Include'}", f"-I{folder}", "-Tlink.ld",
         "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", "-o", "program.elf",
         HERE / "cmsis_nn.c", library, "-lgcc",
         cwd=folder)  # fmt: skip
    if target == "cortex-m0+":
        call("arm-none-eabi-objcopy", "-O", "binary", "program.elf", "program.bin", cwd=folder)
        return parse(call("node", HERE / "cmsis_nn.mjs", LIBRARY, "program.bin", cwd=folder))
    return parse(call(
        "qemu-system-arm", "-machine", "mps2-an505", "-nographic", "-icount", "shift=0",
        "-semihosting-config", "enable=on,target=native", "-kernel", "program.elf", cwd=folder,
    ))  # fmt: skip


def counts(path: Path, target: str) -> Iterator[tuple[Kernel, float]]:
    """Cycles or instructions a MAC of CMSIS-NN's kernels. Raises RuntimeError where an output is
    not the reference's."""
    library = build_library(path, target)
    for kernel in KERNELS:
        graph = graph_of(kernel)
        op = graph.ops[TESTED]
        shape = graph.tensors[op.inputs[0]].shape
        x = np.random.default_rng(2).integers(-128, 128, shape).astype(np.int8)
        status, count, output = run_program(path, library, target, header(graph, x))
        right = run_op(graph, replace(op, rounding=Rounding.TWICE), x).ravel()
        wrong = np.count_nonzero(np.frombuffer(output, np.int8) != right)
        if status or wrong:
            raise RuntimeError(
                f"CMSIS-NN on {target}, {kernel.name} {kernel.shape}: status {status:#x}, {wrong} "
                f"of {len(output)} outputs are not the reference's"
            )
        yield kernel, count / graph.macs(op)


def table(path: Path, ours: Figures, targets: Sequence[str] = (*PROCESSORS,)) -> Iterator[str]:
    """Lines of a table of the forward pass: ours, CMSIS-NN's, theirs in ours."""
    yield f"CMSIS-NN {commit(path) or path.name}, forward, arm-none-eabi-gcc -O3"
    yield f"{'target':12} {'kernel':22} {'shape':12} {'ours':>8} {'CMSIS-NN':>8} {'ratio':>6}"
    for target in targets:
        unit = next(t.unit for t in instructions.TARGETS if t.name == target) + "/MAC"
        for kernel, theirs in counts(path, target):
            own = ours[Name(target, kernel.name, kernel.shape, "forward", unit)]
            yield (f"{target:12} {kernel.name:22} {kernel.shape:12} {own:8.3f} {theirs:8.3f} "
                   f"{theirs / own:6.2f} {unit}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=checkout)
    parser.add_argument("targets", nargs="*", default=list(PROCESSORS),
                        help=", ".join(PROCESSORS))  # fmt: skip
    options = parser.parse_args()
    ours: Figures = {}
    for target in instructions.TARGETS:
        if target.name in options.targets:
            ours |= instructions.measure(target)
    for line in table(options.checkout, ours, options.targets):
        print(line, flush=True)


if __name__ == "__main__":
    main()
