'use strict'
// Writes V8's code cache of a bundle: node code-cache.cjs <bundle> <cache file>. What was compiled by the end of one run is in it.
const { renameSync, writeFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { readFileSync } = require('node:fs')
const { dirname } = require('node:path')
const { Script } = require('node:vm')

const [filename, cacheFile] = process.argv.splice(2)
process.argv[1] = filename
process.argv.push('--version')
const main = new Script(readFileSync(filename, 'utf8'), { filename })
process.on('exit', () => {
  const draft = `${cacheFile}.${process.pid}`
  writeFileSync(draft, main.createCachedData())
  renameSync(draft, cacheFile)
})
main.runInThisContext()({ require: createRequire(filename), filename, dirname: dirname(filename) })
