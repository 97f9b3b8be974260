// A boot ROM of our own, with the interface of the RP2040 datasheet's chapter "Bootrom Contents":
// a lookup function, a table of functions and a table of data. Each function is a breakpoint
// and a return; the breakpoint calls JavaScript, which works on the registers and memories.

import { TABLE_WORDS, doubleFunctions, floatFunctions } from './soft_float.mjs';

const VERSION = 3; // of the ROM, as on the chip's stepping B2
const SRAM = 0x20000000;
const XIP = 0x10000000;
const STACK_TOP = 0x20042000;

// Where things lie in the ROM, in bytes.
const FUNCTION_TABLE = 0x100;
const DATA_TABLE = 0x200;
const FLOAT_TABLE = 0x240; // the byte two before it is the table's length in words
const DOUBLE_TABLE = FLOAT_TABLE + 4 * TABLE_WORDS;
const TEXTS = DOUBLE_TABLE + 4 * TABLE_WORDS;
const CODE = 0x400;

const BKPT = 0xbe00;
const BX_LR = 0x4770;
// Where a second core sleeps whose program has returned: wfi, and a branch back to it.
export const ROM_SLEEP = 0x20;
const SLEEP = [0xbf30, 0xe7fd];

const code = (name) => name.charCodeAt(0) | (name.charCodeAt(1) << 8);

// The memory that holds [address, address + size), as [array, offset]; null if it is neither RAM
// nor flash.
function memoryAt(mcu, address, size) {
  if (address >= SRAM && address + size <= SRAM + mcu.sram.length) {
    return [mcu.sram, address - SRAM];
  }
  if (address >= XIP && address + size <= XIP + mcu.flash.length) {
    return [mcu.flash, address - XIP];
  }
  return null;
}

function copy(mcu, to, from, size) {
  const target = memoryAt(mcu, to, size);
  const source = memoryAt(mcu, from, size);
  if (target && source && target[0] === mcu.sram) {
    target[0].set(source[0].subarray(source[1], source[1] + size), target[1]);
    return;
  }
  for (let i = 0; i < size; i++) {
    mcu.writeUint8(to + i, mcu.readUint8(from + i));
  }
}

function fill(mcu, to, bytes, size) {
  const target = memoryAt(mcu, to, size);
  for (let i = 0; i < size; i++) {
    if (target && target[0] === mcu.sram) {
      target[0][target[1] + i] = bytes[i & 3];
    } else {
      mcu.writeUint8(to + i, bytes[i & 3]);
    }
  }
}

function wordBytes(word) {
  return [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff);
}

function reverse(word) {
  let out = 0;
  for (let i = 0; i < 32; i++) {
    out = (out << 1) | ((word >>> i) & 1);
  }
  return out;
}

function popcount(word) {
  let count = 0;
  for (; word; word = (word & (word - 1)) >>> 0) {
    count++;
  }
  return count;
}

// Name in the ROM's table -> function(registers, mcu, flash, reboot).
const ROM_FUNCTIONS = {
  P3: (r) => (r[0] = popcount(r[0])),
  R3: (r) => (r[0] = reverse(r[0])),
  L3: (r) => (r[0] = Math.clz32(r[0])),
  T3: (r) => (r[0] = r[0] ? 31 - Math.clz32(r[0] & -r[0]) : 32),
  MC: (r, mcu) => copy(mcu, r[0], r[1], r[2]),
  C4: (r, mcu) => copy(mcu, r[0], r[1], r[2]),
  MS: (r, mcu) => fill(mcu, r[0], wordBytes((r[1] & 0xff) * 0x01010101), r[2]),
  S4: (r, mcu) => fill(mcu, r[0], wordBytes(r[1]), r[2]),
  IF: () => {},
  EX: () => {},
  FC: () => {},
  CX: () => {},
  RE: (r, mcu, flash) => flash.erase(r[0], r[1]),
  RP: (r, mcu, flash) => {
    const [array, offset] = memoryAt(mcu, r[1], r[2]);
    flash.program(r[0], array.slice(offset, offset + r[2]));
  },
  UB: (r, mcu, flash, enterBootMode) => enterBootMode(),
};

function lookup(registers, mcu) {
  for (let at = registers[0]; ; at += 4) {
    const found = mcu.readUint16(at);
    if (found === 0 || found === (registers[1] & 0xffff)) {
      registers[0] = found === 0 ? 0 : mcu.readUint16(at + 2);
      return;
    }
  }
}

// Installs the ROM: fills mcu.bootrom and answers its breakpoints. enterBootMode() is called when
// the firmware asks for the drive that takes UF2 files.
export function installBootrom(mcu, flash, enterBootMode) {
  const rom = new DataView(new ArrayBuffer(mcu.bootrom.byteLength));
  const traps = [];
  // Writes a function into the ROM and returns its address for a branch in Thumb state.
  const install = (action) => {
    const at = CODE + 4 * traps.length;
    rom.setUint16(at, BKPT | traps.length, true);
    rom.setUint16(at + 2, BX_LR, true);
    traps.push(action);
    if (traps.length > 256) {
      throw new Error('the boot ROM has more functions than a breakpoint has numbers');
    }
    return at | 1;
  };
  const missing = (what) => () => {
    throw new Error(`the firmware calls the boot ROM's ${what}, which this emulator does not have`);
  };

  rom.setUint32(0, STACK_TOP, true);
  rom.setUint32(4, install(missing('reset vector')), true);
  [0x4d, 0x75, 0x01, VERSION].forEach((byte, i) => rom.setUint8(0x10 + i, byte));
  rom.setUint16(0x14, FUNCTION_TABLE, true);
  rom.setUint16(0x16, DATA_TABLE, true);
  rom.setUint16(0x18, install(lookup), true);
  SLEEP.forEach((word, i) => rom.setUint16(ROM_SLEEP + 2 * i, word, true));

  Object.entries(ROM_FUNCTIONS).forEach(([name, action], i) => {
    rom.setUint16(FUNCTION_TABLE + 4 * i, code(name), true);
    rom.setUint16(FUNCTION_TABLE + 4 * i + 2, install(action), true);
  });

  const data = { CR: TEXTS, GR: TEXTS + 16, SF: FLOAT_TABLE, SD: DOUBLE_TABLE };
  Object.entries(data).forEach(([name, address], i) => {
    rom.setUint16(DATA_TABLE + 4 * i, code(name), true);
    rom.setUint16(DATA_TABLE + 4 * i + 2, address, true);
  });
  [...'microtrain ROM'].forEach((c, i) => rom.setUint8(TEXTS + i, c.charCodeAt(0)));
  rom.setUint8(FLOAT_TABLE - 2, TABLE_WORDS);
  for (const [at, functions, what] of [
    [FLOAT_TABLE, floatFunctions, 'float'],
    [DOUBLE_TABLE, doubleFunctions, 'double'],
  ]) {
    for (let i = 0; i < TABLE_WORDS; i++) {
      const action = functions[4 * i] ?? missing(`${what} function at offset ${4 * i}`);
      rom.setUint32(at + 4 * i, install(action), true);
    }
  }

  for (let i = 0; i < mcu.bootrom.length; i++) {
    mcu.bootrom[i] = rom.getUint32(4 * i, true);
  }
  mcu.onBreak = (number) => {
    const { core } = mcu;
    const pc = core.PC;
    if (pc >= rom.byteLength || number >= traps.length) {
      throw new Error(`breakpoint ${number} in the firmware at 0x${(pc - 2).toString(16)}`);
    }
    traps[number](core.registers, mcu, flash, enterBootMode);
  };
}
