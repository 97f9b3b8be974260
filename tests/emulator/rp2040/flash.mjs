// The board's flash chip: an array in the emulator, kept in a file so that it survives the process.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';

export const FLASH_BYTES = 2 << 20;
export const SECTOR_BYTES = 4096;
const XIP = 0x10000000;

const UF2_BLOCK = 512;
const UF2_MAGIC = [0x0a324655, 0x9e5d5157];
const UF2_MAGIC_END = 0x0ab16f30;
const UF2_NOT_MAIN_FLASH = 1;
const UF2_FAMILY_PRESENT = 0x2000;
const RP2040_FAMILY = 0xe48bff56;

export class Flash {
  // file: path of the image, made blank if there is none.
  constructor(file) {
    if (!existsSync(file)) {
      writeFileSync(file, Buffer.alloc(FLASH_BYTES, 0xff));
    }
    this.bytes = new Uint8Array(readFileSync(file));
    if (this.bytes.length !== FLASH_BYTES) {
      throw new Error(`${file} has ${this.bytes.length} bytes, the board's flash ${FLASH_BYTES}`);
    }
    this.fd = openSync(file, 'r+');
    this.mirror = null;
  }

  // mirror: the emulated chip's own array, which the core reads.
  attach(mirror) {
    this.mirror = mirror;
    mirror.fill(0xff);
    mirror.set(this.bytes);
  }

  // Sets [offset, offset + size) to ones.
  erase(offset, size) {
    this.check(offset, size, SECTOR_BYTES);
    this.bytes.fill(0xff, offset, offset + size);
    this.changed(offset, size);
  }

  // Clears the bits that are zero in `data`, as a NOR flash does.
  program(offset, data) {
    this.check(offset, data.length, 256);
    for (let i = 0; i < data.length; i++) {
      this.bytes[offset + i] &= data[i];
    }
    this.changed(offset, data.length);
  }

  check(offset, size, unit) {
    if (offset % unit || size % unit || offset + size > FLASH_BYTES) {
      throw new Error(`flash: ${size} bytes at ${offset} are no multiple of ${unit} in ${FLASH_BYTES}`);
    }
  }

  changed(offset, size) {
    const part = this.bytes.subarray(offset, offset + size);
    this.mirror?.set(part, offset);
    writeSync(this.fd, part, 0, size, offset);
  }

  // Programs a UF2 file as the boot drive does: only the sectors it touches are erased.
  flashUf2(path) {
    const file = readFileSync(path);
    const erased = new Set();
    for (let at = 0; at + UF2_BLOCK <= file.length; at += UF2_BLOCK) {
      const word = (index) => file.readUInt32LE(at + 4 * index);
      if (word(0) !== UF2_MAGIC[0] || word(1) !== UF2_MAGIC[1] || word(127) !== UF2_MAGIC_END) {
        throw new Error(`${path} is no UF2 file: no block at ${at}`);
      }
      const [flags, address, size] = [word(2), word(3), word(4)];
      if (flags & UF2_NOT_MAIN_FLASH) {
        continue;
      }
      if (flags & UF2_FAMILY_PRESENT && word(7) !== RP2040_FAMILY) {
        throw new Error(`${path} is not for the RP2040: family 0x${word(7).toString(16)}`);
      }
      const offset = address - XIP;
      const sector = offset - (offset % SECTOR_BYTES);
      if (!erased.has(sector)) {
        erased.add(sector);
        this.erase(sector, SECTOR_BYTES);
      }
      this.program(offset, file.subarray(at + 32, at + 32 + size));
    }
    if (erased.size === 0) {
      throw new Error(`${path} is no UF2 file: it has no block for the flash`);
    }
    fsyncSync(this.fd);
  }

  close() {
    closeSync(this.fd);
  }
}
