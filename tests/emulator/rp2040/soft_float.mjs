// The boot ROM's soft-float functions, as JavaScript on the registers of the emulated core. The
// offsets are those of pico-sdk's pico/bootrom/sf_table.h, the same for float and double.
// Like the ROM: round to nearest even, denormal inputs and results are zero, conversions to
// integers round down and saturate. NaNs never get here: the SDK's wrappers keep them.

const view = new DataView(new ArrayBuffer(8));

const single = {
  words: 1,
  get(registers, at) {
    const bits = registers[at];
    view.setUint32(0, bits & 0x7f800000 ? bits : bits & 0x80000000);
    return view.getFloat32(0);
  },
  set(registers, value) {
    view.setFloat32(0, value);
    const bits = view.getUint32(0);
    registers[0] = bits & 0x7f800000 ? bits : bits & 0x80000000;
  },
};

const double = {
  words: 2,
  get(registers, at) {
    const high = registers[at + 1];
    const normal = high & 0x7ff00000;
    view.setUint32(0, normal ? high : high & 0x80000000);
    view.setUint32(4, normal ? registers[at] : 0);
    return view.getFloat64(0);
  },
  set(registers, value) {
    view.setFloat64(0, value);
    const high = view.getUint32(0);
    const normal = high & 0x7ff00000;
    registers[1] = normal ? high : high & 0x80000000;
    registers[0] = normal ? view.getUint32(4) : 0;
  },
};

function setInt64(registers, value) {
  registers[0] = Number(BigInt.asUintN(32, value));
  registers[1] = Number(BigInt.asUintN(32, value >> 32n));
}

function getInt64(registers, signed) {
  const value = (BigInt(registers[1]) << 32n) | BigInt(registers[0]);
  return signed ? BigInt.asIntN(64, value) : value;
}

// To a number that rounds to float as the integer itself does: what lies below the 52 highest bits
// is kept as one sticky bit. A double needs no such care, the conversion rounds once.
function toNumber(value, words) {
  if (words === 2 || (value > -(1n << 53n) && value < 1n << 53n)) {
    return Number(value);
  }
  const sticky = value & 0xfffn ? 1n : 0n;
  return Number((value >> 12n) | sticky) * 4096;
}

function clamp(value, low, high) {
  return value < low ? low : value > high ? high : value;
}

// r0 (and r1) <- value * 2^fraction, rounded down.
function toInt(registers, value, fraction, bits, signed) {
  const scaled = Math.floor(value * 2 ** fraction);
  const low = signed ? -(2 ** (bits - 1)) : 0;
  if (bits === 32) {
    registers[0] = clamp(scaled, low, signed ? 2 ** 31 - 1 : 2 ** 32 - 1);
    return;
  }
  const top = signed ? 2n ** 63n - 1n : 2n ** 64n - 1n;
  const integer = Number.isFinite(scaled) ? BigInt(scaled) : scaled < 0 ? BigInt(low) : top;
  setInt64(registers, clamp(integer, BigInt(low), top));
}

// offset -> function of the registers, for values of `type`; `other` is the other width.
function functions(type, other) {
  const n = type.words;
  const binary = (f) => (r) => type.set(r, f(type.get(r, 0), type.get(r, n)));
  const fraction = (r, at) => r[at] | 0;
  return {
    0x00: binary((a, b) => a + b),
    0x04: binary((a, b) => a - b),
    0x08: binary((a, b) => a * b),
    0x0c: binary((a, b) => a / b),
    0x18: (r) => type.set(r, Math.sqrt(type.get(r, 0))),
    0x1c: (r) => toInt(r, type.get(r, 0), 0, 32, true),
    0x20: (r) => toInt(r, type.get(r, 0), fraction(r, n), 32, true),
    0x24: (r) => toInt(r, type.get(r, 0), 0, 32, false),
    0x28: (r) => toInt(r, type.get(r, 0), fraction(r, n), 32, false),
    0x2c: (r) => type.set(r, r[0] | 0),
    0x30: (r) => type.set(r, (r[0] | 0) * 2 ** -fraction(r, 1)),
    0x34: (r) => type.set(r, r[0]),
    0x38: (r) => type.set(r, r[0] * 2 ** -fraction(r, 1)),
    0x5c: (r) => type.set(r, toNumber(getInt64(r, true), n)),
    0x60: (r) => type.set(r, toNumber(getInt64(r, true), n) * 2 ** -fraction(r, 2)),
    0x64: (r) => type.set(r, toNumber(getInt64(r, false), n)),
    0x68: (r) => type.set(r, toNumber(getInt64(r, false), n) * 2 ** -fraction(r, 2)),
    0x6c: (r) => toInt(r, type.get(r, 0), 0, 64, true),
    0x70: (r) => toInt(r, type.get(r, 0), fraction(r, n), 64, true),
    0x74: (r) => toInt(r, type.get(r, 0), 0, 64, false),
    0x78: (r) => toInt(r, type.get(r, 0), fraction(r, n), 64, false),
    0x7c: (r) => other.set(r, type.get(r, 0)),
  };
}

export const TABLE_WORDS = 32;
export const floatFunctions = functions(single, double);
export const doubleFunctions = functions(double, single);
