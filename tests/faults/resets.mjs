// Cuts the power of an emulated RP2040 after any instruction of a training run:
// node resets.mjs LIBRARY FLASH.img CHECK.py RUNS CUTS SEED
//
// A board with the flash FLASH.img trains from power-on and sets a scratch register of the watchdog
// when it has ended. Each of RUNS runs loses its power up to CUTS times, each time after a random
// number of instructions since power-on, flash operations being whole (power_cuts.mjs cuts those).
// Prints what CHECK.py prints after the run that nothing happened to and its instructions, then for
// each run a line of JSON: the instructions after which the power went, and what CHECK.py printed.

import { readFileSync } from 'node:fs';

import { RamFlash, below, flashImage, runAlone, runCode, seed } from './rp2040.mjs';

const [, image, checkFile, runs, cuts, seedText] = process.argv.slice(2);
seed(Number(seedText));

const start = flashImage(image);
const check = readFileSync(checkFile, 'utf8');

const flash = new RamFlash(start);
const whole = await runAlone(flash);
console.log(JSON.stringify({ found: await runCode(flash, check), steps: whole.steps }));
for (let run = 0; run < Number(runs); run++) {
  const flash = new RamFlash(start);
  const went = [];
  while (went.length < Number(cuts)) {
    const { ended, steps } = await runAlone(flash, 1 + below(whole.steps));
    if (ended) {
      break;
    }
    went.push(steps);
  }
  await runAlone(flash);
  console.log(JSON.stringify({ went, found: await runCode(flash, check) }));
}
process.exit(0);
