#!/usr/bin/env node
'use strict'
// The command line, started through V8's code cache: without it, compiling the bundle takes most of a short run's time.
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { join } = require('node:path')
const { Script } = require('node:vm')

const filename = join(__dirname, 'MAIN_FILE')
let cachedData
try {
  cachedData = readFileSync(`${filename}.${process.versions.v8}-${process.arch}`)
} catch {
  // Made for another version of Node, or not made: slower, and the same otherwise.
}
const main = new Script(readFileSync(filename, 'utf8'), { filename, cachedData })
main.runInThisContext()({ require: createRequire(filename), filename, dirname: __dirname })
