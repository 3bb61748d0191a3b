// What ./remex calls when something changed. The argument is the Node that was asked for.
import { argv } from 'node:process'
import { asProgram } from './program.mjs'
import { makeReady } from './ready.mjs'

await asProgram((signal) => makeReady(argv[2], signal))
