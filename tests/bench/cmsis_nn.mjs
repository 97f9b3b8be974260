// Runs a program of cmsis_nn.c on the emulated RP2040: node cmsis_nn.mjs LIBRARY PROGRAM.bin
// Prints its status, the cycles between its marks, and its output, in hexadecimal.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , library, program] = process.argv;
const { RP2040, ConsoleLogger, LogLevel } = await import(pathToFileURL(join(library, 'dist', 'esm', 'index.js')).href);

const SRAM = 0x20000000;
const MOST_CYCLES = 500_000_000;

const mcu = new RP2040();
mcu.logger = new ConsoleLogger(LogLevel.Error, true);
const { core } = mcu;
let cycles = 0;
let before = 0;
let running = true;
mcu.flash.set(readFileSync(program));
const vectors = new DataView(mcu.flash.buffer, mcu.flash.byteOffset);
core.SP = vectors.getUint32(0, true);
core.PC = vectors.getUint32(4, true) & ~1;
mcu.onBreak = (mark) => {
  if (mark === 1) {
    before = cycles;
  } else if (mark === 2) {
    before = cycles - before;
  } else {
    const [status, output, size] = core.registers;
    const bytes = mcu.sram.subarray(output - SRAM, output - SRAM + size);
    const text = [status >>> 0, before].map((word) => word.toString(16)).join(' ');
    process.stdout.write(`${text} ${Buffer.from(bytes).toString('hex')}\n`);
    running = false;
  }
};
while (running) {
  cycles += core.executeInstruction();
  if (cycles > MOST_CYCLES) {
    throw new Error(`no end after ${cycles} cycles, at 0x${core.PC.toString(16)}`);
  }
}
