// The chip's second core, with what the SIO has for each core alone (number, mailbox, divider), events, and the loop of
// the boot ROM in which it waits for its start (RP2040 datasheet, "Launching Code On Processor Core 1").

import { ROM_SLEEP } from './bootrom.mjs';

const PSM = 0x40010;
const FRCE_OFF = 0x4;
const PROC1 = 1 << 16;

const CPUID = 0x0;
const FIFO_ST = 0x50;
const FIFO_WR = 0x54;
const FIFO_RD = 0x58;
const VALID = 1;
const READY = 2;
const ERRORS = 12; // written while full, read while empty
const WRITTEN_FULL = 4;
const READ_EMPTY = 8;
const FIFO_WORDS = 8;
const FIFO_IRQ = 15; // core 0's; core 1's is the next
const DIVIDER = ['divDividend', 'divDivisor', 'divQuotient', 'divRemainder', 'divCSR'];

const SEV = 0xbf40;
const WFE = 0xbf20;

// What the boot ROM takes before vector table, stack pointer and entry.
const START = [0, 0, 1];
// One core runs so many cycles, then the other as many.
export const TURN = 64;

export class SecondCore {
  constructor(mcu) {
    this.mcu = mcu;
    this.cores = [mcu.core, new mcu.core.constructor(mcu)];
    this.number = 0; // of the core that executes
    this.mailboxes = [[], []]; // words on their way to each core
    this.errors = [0, 0];
    this.divider = DIVIDER.map((name) => mcu.sio[name]); // of the core that does not execute
    this.state = 'boot';
    this.words = []; // that the boot ROM has taken
    this.behind = 0; // cycles that core 0 is ahead
    this.takeSio();
    this.takePsm();
  }

  takeSio() {
    const { sio } = this.mcu;
    const read = sio.readUint32.bind(sio);
    const write = sio.writeUint32.bind(sio);
    sio.readUint32 = (offset) => {
      switch (offset) {
        case CPUID:
          return this.number;
        case FIFO_ST:
          return this.fifoState();
        case FIFO_RD:
          return this.receive(this.number);
        default:
          return read(offset);
      }
    };
    sio.writeUint32 = (offset, value) => {
      switch (offset) {
        case FIFO_ST:
          this.errors[this.number] &= ~value;
          this.interrupt(this.number);
          break;
        case FIFO_WR:
          this.send(1 - this.number, value >>> 0);
          break;
        default:
          write(offset, value);
      }
    };
  }

  takePsm() {
    const psm = this.mcu.peripherals[PSM];
    const write = psm.writeUint32.bind(psm);
    psm.writeUint32 = (offset, value) => {
      const wasOff = psm.frceOff & PROC1;
      write(offset, value);
      if (offset === FRCE_OFF && !wasOff && psm.frceOff & PROC1) {
        this.state = 'off';
      } else if (offset === FRCE_OFF && wasOff && !(psm.frceOff & PROC1)) {
        this.boot();
      }
    };
  }

  // ---- mailboxes ----

  fifoState() {
    const { mailboxes, errors, number } = this;
    const valid = mailboxes[number].length > 0 ? VALID : 0;
    return valid | (mailboxes[1 - number].length < FIFO_WORDS ? READY : 0) | errors[number];
  }

  interrupt(number) {
    const waiting = this.mailboxes[number].length > 0 || (this.errors[number] & ERRORS) !== 0;
    this.cores[number].setInterrupt(FIFO_IRQ + number, waiting);
  }

  receive(number) {
    const word = this.mailboxes[number].shift();
    if (word === undefined) {
      this.errors[number] |= READ_EMPTY;
    }
    this.interrupt(number);
    return word ?? 0;
  }

  send(number, word) {
    if (number === 1 && this.state === 'boot') {
      this.take(word);
      return;
    }
    if (this.mailboxes[number].length === FIFO_WORDS) {
      this.errors[1 - number] |= WRITTEN_FULL;
      this.interrupt(1 - number);
      return;
    }
    this.mailboxes[number].push(word);
    this.interrupt(number);
  }

  // ---- the boot ROM ----

  boot() {
    this.state = 'boot';
    this.words = [];
    this.mailboxes[1] = [];
    this.errors[1] = 0;
    this.send(0, 0);
    this.signal();
  }

  // Gives every word back; one that does not fit starts anew.
  take(word) {
    const at = this.words.length;
    if (at < START.length && word !== START[at]) {
      this.words = [];
    } else {
      this.words.push(word);
    }
    this.send(0, word);
    this.signal();
    if (this.words.length === START.length + 3) {
      const [vectors, stack, entry] = this.words.slice(START.length);
      const core = new this.cores[0].constructor(this.mcu);
      core.VTOR = vectors;
      core.SP = stack;
      core.LR = ROM_SLEEP | 1;
      core.PC = entry & ~1;
      this.cores[1] = core;
      this.behind = 0;
      this.state = 'running';
    }
  }

  // ---- execution ----

  get runs() {
    return this.state === 'running';
  }

  // Whether it has something to execute now.
  get busy() {
    return this.runs && !this.cores[1].waiting;
  }

  // An event for both cores.
  signal() {
    for (const core of this.cores) {
      if (core.waiting && this.mcu.readUint16((core.PC & ~1) - 2) === WFE) {
        core.waiting = false;
      } else {
        core.eventRegistered = true;
      }
    }
  }

  execute(core) {
    const signals = this.mcu.readUint16(core.PC & ~1) === SEV;
    const cycles = core.executeInstruction();
    if (signals) {
      this.signal();
    }
    return cycles;
  }

  swap() {
    const { mcu, divider } = this;
    this.number = 1 - this.number;
    mcu.core = this.cores[this.number];
    DIVIDER.forEach((name, i) => ([mcu.sio[name], divider[i]] = [divider[i], mcu.sio[name]]));
  }

  // One instruction of core 0; now and then core 1 catches up. Returns core 0's cycles.
  step() {
    const cycles = this.execute(this.cores[0]);
    this.behind += cycles;
    if (this.behind >= TURN) {
      this.behind -= this.turn(this.behind);
      this.behind = this.busy ? this.behind : 0;
    }
    return cycles;
  }

  // Lets core 1 run for about `cycles`, or until core 0, which waits, has an event. Returns its cycles.
  turn(cycles) {
    const waited = this.cores[0].waiting;
    let done = 0;
    this.swap();
    while (done < cycles && this.busy && this.cores[0].waiting === waited) {
      done += this.execute(this.cores[1]);
    }
    this.swap();
    return done;
  }
}
