// Loaded into every node by NODE_OPTIONS: writes down which paths it looks up. See python_hook for
// the same in Python. A line: the moment in ns, a word of LookupKind, the paths as JSON.
'use strict'
const fs = require('fs')
const path = require('path')
const { fileURLToPath, pathToFileURL } = require('url')
const folder = process.env.TOOLKIT_OBSERVE_LOG

if (folder) {
  const open = fs.openSync
  const write = fs.writeSync
  const lstat = fs.lstatSync
  const log = open(path.join(folder, `${process.pid}-node-${process.hrtime.bigint()}`), 'a')
  let busy = false

  const tell = (word, ...names) => {
    if (busy) return
    busy = true
    try {
      const paths = names.map(absolute)
      if (paths.every((name) => name !== null)) {
        const json = JSON.stringify(paths).replace(/[\u007f-\uffff]/g, escaped)
        write(log, `${process.hrtime.bigint()} ${word} ${json}\n`)
      }
    } catch {
      // the program must not notice
    } finally {
      busy = false
    }
  }
  const escaped = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  const absolute = (name) => {
    if (name instanceof URL) name = fileURLToPath(name)
    if (Buffer.isBuffer(name)) name = name.toString()
    return typeof name === 'string' ? path.resolve(name) : null
  }
  const exists = (name) => {
    const before = busy
    busy = true
    try {
      lstat(name)
      return true
    } catch (problem) {
      return !['ENOENT', 'ENOTDIR'].includes(problem.code)
    } finally {
      busy = before
    }
  }
  const read = (name, word) => {
    const where = absolute(name)
    if (where !== null && !busy) tell(exists(where) ? word : 'missing', where)
  }
  const opened = (name, flags = 'r') => {
    const number = typeof flags === 'number'
    const c = fs.constants
    const writes = number ? flags & (c.O_WRONLY | c.O_RDWR) : flags !== 'r' && flags !== 'rs'
    const reads = number ? !(flags & c.O_WRONLY) : /[r+]/.test(flags)
    const empties = number ? flags & c.O_TRUNC : flags.startsWith('w')
    if (reads && !empties) read(name, 'opened')
    if (writes) tell(empties ? 'written' : 'appended', name)
  }
  const flag = (options, usual) => (options && typeof options === 'object' && options.flag) || usual

  const watch = {
    open: (name, flags) => opened(name, typeof flags === 'function' ? 'r' : flags),
    readFile: (name, options) => opened(name, flag(options, 'r')),
    createReadStream: (name) => opened(name),
    writeFile: (name, _, options) => opened(name, flag(options, 'w')),
    appendFile: (name, _, options) => opened(name, flag(options, 'a')),
    createWriteStream: (name, options) => opened(name, (options && options.flags) || 'w'),
    readdir: (name) => read(name, 'listed'),
    opendir: (name) => read(name, 'listed'),
    stat: (name) => read(name, 'checked'),
    lstat: (name) => read(name, 'checked'),
    access: (name) => read(name, 'checked'),
    exists: (name) => read(name, 'checked'),
    readlink: (name) => read(name, 'checked'),
    realpath: (name) => read(name, 'checked'),
    mkdir: (name) => !exists(absolute(name)) && tell('folder', name),
    rename: (name, to) => tell('moved', name, to),
    link: (name, to) => tell('linked', name, to),
    symlink: (_, name) => tell('written', name),
    copyFile: (name, to) => {
      read(name, 'opened')
      tell('written', to)
    },
    cp: (name, to) => {
      read(name, 'opened')
      tell('written', to)
    },
  }
  const patch = (owner, name, before) => {
    const original = owner[name]
    if (typeof original !== 'function') return
    const patched = function (...words) {
      try {
        if (!busy) before(...words)
      } catch {
        // the program must not notice
      }
      return Reflect.apply(original, this, words)
    }
    try {
      owner[name] = Object.assign(patched, original)
    } catch {
      // it cannot be replaced
    }
  }
  for (const [name, before] of Object.entries(watch)) {
    patch(fs, name, before)
    patch(fs, `${name}Sync`, before)
    patch(fs.promises, name, before)
  }

  const { Module } = require('module')
  const load = Module._extensions
  for (const extension of Object.keys(load)) {
    patch(load, extension, (_, name) => {
      read(name, 'opened')
      // which sort of module it is: node reads this by itself
      let around = path.dirname(name)
      while (path.basename(around) !== 'node_modules') {
        const json = path.join(around, 'package.json')
        read(json, 'opened')
        if (exists(json) || path.dirname(around) === around) break
        around = path.dirname(around)
      }
    })
  }
  if (Module.register) {
    // what `import` loads is read past the patched functions
    const data = { log: path.join(folder, `${process.pid}-import-${process.hrtime.bigint()}`) }
    Module.register(pathToFileURL(path.join(__dirname, 'node_import.mjs')), { data })
  }

  const children = require('child_process')
  const started = (program) => typeof program === 'string' && tellProgram(program)
  const tellProgram = (program) => {
    write(log, `${process.hrtime.bigint()} program ${JSON.stringify([program]).replace(/[\u007f-\uffff]/g, escaped)}\n`)
  }
  for (const name of ['spawn', 'spawnSync', 'execFile', 'execFileSync']) {
    patch(children, name, started)
  }
  for (const name of ['exec', 'execSync']) {
    patch(children, name, (line) => typeof line === 'string' && tellProgram(line.split(/\s/)[0]))
  }
}
