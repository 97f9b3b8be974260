// Runs an RP2040 board: node emulate.mjs LIBRARY FIRMWARE.uf2 FLASH.img CORES
// Standard input and output are the serial port that its USB carries. SIGTERM switches it off.

import { Board } from './board.mjs';
import { Flash } from './flash.mjs';

const [, firmware, image, cores] = process.argv.slice(2);

process.on('uncaughtException', (error) => {
  process.stderr.write(`the emulator stopped: ${error.stack}\n`);
  process.exit(1);
});
const flash = new Flash(image);
flash.flashUf2(firmware);
const board = new Board(flash, (data) => process.stdout.write(data), Number(cores));
process.stdin.on('data', (data) => board.receive(data));
process.on('SIGTERM', () => process.exit(0));
board.run();
