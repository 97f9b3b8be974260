// Runs an RP2040 board: node emulate.mjs LIBRARY FIRMWARE.uf2 FLASH.img
// Standard input and output are the serial port that its USB carries. SIGTERM switches it off.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { installBootrom } from './bootrom.mjs';
import { Flash } from './flash.mjs';

const [library, firmware, image] = process.argv.slice(2);
const { RP2040, USBCDC, ConsoleLogger, LogLevel } = await import(
  pathToFileURL(join(library, 'dist', 'esm', 'index.js')).href
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

class Board {
  constructor(flash) {
    this.flash = flash;
    this.input = [];
    this.state = 'running';
    this.powerUp(null);
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
    this.serial = new SerialPort(mcu.usbCtrl, this.input, (data) => process.stdout.write(data));
    // The boot ROM runs the second stage at the start of the flash, which goes on to the firmware.
    mcu.core.SP = mcu.bootrom[0];
    mcu.core.LR = 0;
    mcu.core.PC = 0x10000000;
    this.mcu = mcu;
    this.state = 'running';
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
    for (let i = 0; i < SLICE && this.state === 'running'; i++) {
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

process.on('uncaughtException', (error) => {
  process.stderr.write(`the emulator stopped: ${error.stack}\n`);
  process.exit(1);
});
const flash = new Flash(image);
flash.flashUf2(firmware);
const board = new Board(flash);
process.stdin.on('data', (data) => board.receive(data));
process.on('SIGTERM', () => process.exit(0));
board.run();
