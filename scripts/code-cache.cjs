'use strict'
// Writes V8's code cache of a bundle: node code-cache.cjs <bundle> <cache file>
const { readFileSync, renameSync, writeFileSync } = require('node:fs')
const { setFlagsFromString } = require('node:v8')
const { Script } = require('node:vm')

const [filename, cacheFile] = process.argv.slice(2)
// V8 compiles a function when it is first called; here all are wanted. The flag is taken back before the cache is made, because
// a cache is only accepted under the flags that it was made under.
setFlagsFromString('--no-lazy')
const main = new Script(readFileSync(filename, 'utf8'), { filename })
setFlagsFromString('--lazy')
const draft = `${cacheFile}.${process.pid}`
writeFileSync(draft, main.createCachedData())
renameSync(draft, cacheFile)
