// An RP2040 board: power-up, reset, USB serial port, run loop.
// The first argument of the program is the folder of the emulator's library.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { installBootrom } from './bootrom.mjs';

const { RP2040, USBCDC, ConsoleLogger, LogLevel } = await import(
  pathToFileURL(join(process.argv[2], 'dist', 'esm', 'index.js')).href
);

const NANOSECONDS_PER_CYCLE = 8; // 125 MHz
// Instructions between two looks at the input.
const SLICE = 200_000;
// Waits of the processor that are shorter are not slept through, longer ones are, in nanoseconds.
const SHORT_WAIT = 1_000_000;

// The serial port: USB CDC as a host sees it. The library's class answers each poll of an idle
// line with an empty packet, which is an interrupt every few microseconds; here the poll waits.
class SerialPort extends USBCDC {
  constructor(usb, queue, onData) {
    super(usb);
    this.queue = queue;
    this.room = 0;
    this.onSerialData = onData;
    usb.onEndpointRead = (endpoint, size) => {
      if (endpoint === this.outEndpoint) {
        this.room = size;
        this.feed();
      }
    };
  }

  feed() {
    if (this.room > 0 && this.queue.length > 0) {
      const packet = this.queue.splice(0, this.room);
      this.room = 0;
      this.usb.endpointReadDone(this.outEndpoint, Uint8Array.from(packet));
    }
  }
}

export class Board {
  // onData: called with what the board sends over its serial port.
  constructor(flash, onData) {
    this.flash = flash;
    this.onData = onData;
    this.input = [];
    this.state = 'running';
    this.steps = 0; // instructions so far, and short waits
    this.lastStep = Infinity; // after which the power is cut
    this.powerUp(null);
  }

  // What the firmware has put into the watchdog's first scratch register.
  get scratch() {
    return this.watchdog.scratchData[0];
  }

  // before: the chip before a watchdog reset, whose scratch registers survive.
  powerUp(before) {
    const mcu = new RP2040();
    mcu.logger = new ConsoleLogger(LogLevel.Error, false);
    installBootrom(mcu, this.flash, () => (this.state = 'boot mode'));
    this.flash.attach(mcu.flash);
    const watchdog = mcu.peripherals[0x40058];
    if (before) {
      watchdog.reason = before.reason;
      watchdog.scratchData.set(before.scratchData);
    }
    watchdog.onWatchdogTrigger = () => (this.state = 'reset');
    this.watchdog = watchdog;
    this.serial = new SerialPort(mcu.usbCtrl, this.input, this.onData);
    // The boot ROM runs the second stage at the start of the flash, which goes on to the firmware.
    mcu.core.SP = mcu.bootrom[0];
    mcu.core.LR = 0;
    mcu.core.PC = 0x10000000;
    this.mcu = mcu;
    this.state = 'running';
  }

  // Cuts the power.
  switchOff() {
    this.state = 'off';
    clearTimeout(this.timer);
  }

  receive(data) {
    this.input.push(...data);
    this.serial.feed();
    if (this.sleeping) {
      this.wake();
    }
  }

  run() {
    const { core, clock } = this.mcu;
    const end = Math.min(this.steps + SLICE, this.lastStep);
    for (; this.steps < end && this.state === 'running'; this.steps++) {
      if (core.waiting) {
        const wait = clock.nextAlarm ? clock.nanosToNextAlarm : Infinity;
        if (wait > SHORT_WAIT) {
          this.sleep(wait);
          return;
        }
        clock.tick(wait);
      } else {
        clock.tick(core.executeInstruction() * NANOSECONDS_PER_CYCLE);
      }
    }
    if (this.steps === this.lastStep) {
      this.switchOff();
    }
    if (this.state === 'off') {
      return;
    }
    if (this.state === 'reset') {
      this.powerUp(this.watchdog);
    } else if (this.state === 'boot mode') {
      // Nothing runs until the power is cut.
      process.stderr.write('the board is in boot mode\n');
      return;
    }
    setImmediate(() => this.run());
  }

  // Lets real time pass while the processor waits for `nanos`, or until input comes.
  sleep(nanos) {
    this.sleeping = true;
    this.sleepStart = process.hrtime.bigint();
    this.timer = setTimeout(() => this.wake(), Math.min(nanos / 1e6, 1000));
  }

  wake() {
    clearTimeout(this.timer);
    this.sleeping = false;
    const { clock, core } = this.mcu;
    const slept = Number(process.hrtime.bigint() - this.sleepStart);
    const wait = clock.nextAlarm ? clock.nanosToNextAlarm : Infinity;
    clock.tick(Math.min(slept, wait));
    this.run();
  }
}
