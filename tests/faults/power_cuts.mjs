// Cuts the power of an emulated RP2040 at random points of checkpoint saves:
// node power_cuts.mjs LIBRARY FLASH.img RECORD.py CHECK.py CUTS SEED
//
// A board with the flash FLASH.img runs RECORD.py once, which saves checkpoints and says in a
// scratch register of the watchdog which one is being written. Every erase and write of the flash
// is kept. A cut leaves the flash as it was before one of them, with a random part of that one
// done; on each such flash a board is started anew, which runs CHECK.py. Prints what the first
// board printed, then for each cut a line of JSON: the save, the operation, the part of it that
// was done, and what the board printed.

import { readFileSync } from 'node:fs';

import { RamFlash, below, flashImage, runCode, seed } from './rp2040.mjs';

const [, image, recordFile, checkFile, cutsText, seedText] = process.argv.slice(2);
seed(Number(seedText));

// The flash in which `operation` was cut: its first `done` bytes changed, some bits of the next.
function cut(before, operation, done) {
  const flash = Uint8Array.from(before);
  const { offset, data } = operation;
  flash.set(data.subarray(0, done), offset);
  if (done < data.length) {
    const mask = below(256);
    flash[offset + done] = (data[done] & mask) | (flash[offset + done] & ~mask);
  }
  return flash;
}

const start = flashImage(image);
const flash = new RamFlash(start);
flash.operations = [];
console.log(JSON.stringify({ recorded: await runCode(flash, readFileSync(recordFile, 'utf8')) }));
const first = flash.operations.findIndex((operation) => operation.save > 0);
const count = flash.operations.length - first;
console.log(JSON.stringify({ operations: count }));

const check = readFileSync(checkFile, 'utf8');
const points = Array.from({ length: Number(cutsText) }, () => {
  const at = first + below(count);
  // One cut in four falls between two operations.
  const size = flash.operations[at].data.length;
  return { at, done: below(4) ? below(size) : 0 };
}).sort((a, b) => a.at - b.at);
const before = Uint8Array.from(start);
let applied = 0;
for (const { at, done } of points) {
  for (; applied < at; applied++) {
    before.set(flash.operations[applied].data, flash.operations[applied].offset);
  }
  const { save, kind } = flash.operations[at];
  const found = await runCode(new RamFlash(cut(before, flash.operations[at], done)), check);
  console.log(JSON.stringify({ save, operation: at - first, kind, done, found }));
}
process.exit(0);
