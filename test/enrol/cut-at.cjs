// Preloaded into the command line: kills it at the step CUT_AT, before the step is done; at its end it tells how many there were.
// A step is a change of a name, or every third time that bytes leave for a host. Writes of the audit log, between these, have proofs of their own.
const fs = require('node:fs')
const promises = require('node:fs/promises')
const net = require('node:net')

const at = Number(process.env.CUT_AT)
let steps = 0

function step() {
  if (++steps === at) process.kill(process.pid, 'SIGKILL')
}

function counted(object, name, every = 1) {
  const original = object[name]
  let calls = 0
  object[name] = function (...args) {
    if (++calls % every === 0) step()
    return original.apply(this, args)
  }
}

for (const name of ['rename', 'link', 'unlink', 'mkdir']) counted(promises, name)
counted(fs, 'symlinkSync')
counted(net.Socket.prototype, '_writeGeneric', 3)
process.on('exit', () => fs.writeFileSync(2, `steps: ${steps}\n`))
