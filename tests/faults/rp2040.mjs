// Emulated RP2040 boards whose flash is an array in memory, for programs that cut their power. The
// first argument of the program is the folder of the emulator's library.

import { readFileSync } from 'node:fs';

import { Board } from '../emulator/rp2040/board.mjs';
import { FLASH_BYTES } from '../emulator/rp2040/flash.mjs';

const TIMEOUT_MS = 120_000;

// xorshift32
let random = 1;

export function seed(number) {
  random = number >>> 0 || 1;
}

export function below(n) {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) % n;
}

export function flashImage(path) {
  const bytes = readFileSync(path);
  if (bytes.length !== FLASH_BYTES) {
    throw new Error(`${path} has ${bytes.length} bytes, the board's flash ${FLASH_BYTES}`);
  }
  return bytes;
}

export class RamFlash {
  constructor(bytes) {
    this.bytes = Uint8Array.from(bytes);
    this.operations = null; // a list: what is done is added to it
    this.save = () => 0; // which save an operation belongs to
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
export function runCode(flash, code) {
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
    flash.save = () => board.scratch;
    board.run();
  });
}

// Runs a board with this flash, which nobody talks to, until it has set its scratch register or
// the power is cut after `steps` instructions: whether it has, and how many it took.
export function runAlone(flash, steps = Infinity) {
  return new Promise((resolve, reject) => {
    const board = new Board(flash, () => {});
    const begun = Date.now();
    board.lastStep = steps;
    const looking = setInterval(() => {
      const silent = Date.now() > begun + TIMEOUT_MS;
      if (board.state === 'off' || board.scratch || silent) {
        clearInterval(looking);
        const ended = board.scratch !== 0;
        board.switchOff();
        silent && !ended ? reject(new Error('the board never ends')) : resolve({ ended, steps: board.steps });
      }
    }, 1);
    board.run();
  });
}
