// Beside node_hook.cjs: which files `import` loads. It runs in a thread of node's own.
import { appendFileSync } from 'fs'
import { fileURLToPath } from 'url'

let log

export function initialize(data) {
  log = data.log
}

export async function load(url, context, next) {
  if (url.startsWith('file:')) {
    const escaped = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
    const json = JSON.stringify([fileURLToPath(url)]).replace(/[\u007f-\uffff]/g, escaped)
    try {
      appendFileSync(log, `${process.hrtime.bigint()} opened ${json}\n`)
    } catch {
      // the program must not notice
    }
  }
  return next(url, context)
}
