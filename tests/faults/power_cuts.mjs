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

import { Board } from '../emulator/rp2040/board.mjs';
import { FLASH_BYTES } from '../emulator/rp2040/flash.mjs';

const [, image, recordFile, checkFile, cutsText, seedText] = process.argv.slice(2);
const WATCHDOG = 0x40058;
const TIMEOUT_MS = 120_000;

// xorshift32
let random = Number(seedText) >>> 0 || 1;
function below(n) {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) % n;
}

class RamFlash {
  constructor(bytes) {
    this.bytes = Uint8Array.from(bytes);
    this.operations = null; // a list: what is done is added to it
    this.save = () => 0;
  }

  attach(mirror) {
    this.mirror = mirror;
    mirror.fill(0xff);
    mirror.set(this.bytes);
  }

  erase(offset, size) {
    this.change(offset, new Uint8Array(size).fill(0xff), 'erase');
  }

  program(offset, data) {
    const now = this.bytes.subarray(offset, offset + data.length);
    this.change(offset, data.map((byte, i) => byte & now[i]), 'write');
  }

  change(offset, data, kind) {
    this.operations?.push({ offset, data: Uint8Array.from(data), kind, save: this.save() });
    this.bytes.set(data, offset);
    this.mirror.set(data, offset);
  }
}

// Runs `code` on a board with this flash: what it prints. The power is cut after it.
function run(flash, code) {
  return new Promise((resolve, reject) => {
    let text = '';
    let stage = 0;
    const stop = (finish, value) => {
      clearTimeout(timer);
      clearInterval(knocking);
      board.switchOff();
      finish(value);
    };
    const timer = setTimeout(() => stop(reject, new Error(`the board is silent: ${text}`)), TIMEOUT_MS);
    // The prompt may have come before somebody listened.
    const knocking = setInterval(() => stage === 0 && board.receive(Buffer.from('\r')), 20);
    const board = new Board(flash, (data) => {
      text += Buffer.from(data).toString('latin1');
      if (stage === 0 && text.endsWith('>>> ')) {
        stage = 1;
        text = '';
        board.receive(Buffer.from('\x01'));
      } else if (stage === 1 && text.endsWith('exit\r\n>')) {
        stage = 2;
        text = '';
        board.receive(Buffer.from(`${code}\x04`));
      } else if (stage === 2 && text.split('\x04').length === 3) {
        const [printed, error] = text.split('\x04');
        stop(resolve, (printed.replace(/^OK/, '') + error).replaceAll('\r', '').trim());
      }
    });
    flash.save = () => board.mcu.peripherals[WATCHDOG].scratchData[0];
    board.run();
  });
}

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

const start = readFileSync(image);
if (start.length !== FLASH_BYTES) {
  throw new Error(`${image} has ${start.length} bytes, the board's flash ${FLASH_BYTES}`);
}
const flash = new RamFlash(start);
flash.operations = [];
console.log(JSON.stringify({ recorded: await run(flash, readFileSync(recordFile, 'utf8')) }));
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
  const found = await run(new RamFlash(cut(before, flash.operations[at], done)), check);
  console.log(JSON.stringify({ save, operation: at - first, kind, done, found }));
}
process.exit(0);
