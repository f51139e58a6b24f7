// The program around a JavaScript code stage: reads frames of records, asks the stage's function, writes frames of answers.
//
// Records come on file 4, answers go to file 3 (`speech.py` beside this has the frames); what the code prints is the stage's log.
//
//     node node_program.mjs FILE NAME     the code, and what it is called in errors
import fs from 'node:fs'
import net from 'node:net'
import { pathToFileURL } from 'node:url'

const [FILE, NAME] = process.argv.slice(2)
const IN = 4
const OUT = 3
const MOST_BYTES = 16 << 20 // of what comes of one record
const MOST_VALUES = 100_000
const FLUSH_MILLISECONDS = 50 // so that a slow record holds up no answer before it
const FLUSH_RECORDS = 256
const SHOWN_FRAMES = 3

function write(text) {
  const body = Buffer.from(text)
  const data = Buffer.allocUnsafe(4 + body.length)
  data.writeUInt32BE(body.length)
  body.copy(data, 4)
  for (let done = 0; done < data.length; ) done += fs.writeSync(OUT, data, done)
}

// What was thrown, and the last of the places that it came through, of the code's own.
function describe(error) {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  const own = frames.filter((line) => !line.includes(import.meta.url) && !line.includes('node:internal'))
  const text = [`${error.name}: ${error.message}`, ...own.slice(0, SHOWN_FRAMES)].join('\n')
  return text.replaceAll(pathToFileURL(FILE).href, NAME).replaceAll(FILE, NAME)
}

const fail = (error) => ({ error: describe(error), final: Boolean(error?.final) })

function checkCount(values) {
  if (values.length > MOST_VALUES) throw new Error(`more than ${MOST_VALUES} values came of one record`)
  return values
}

// The values that a record's answer means.
async function collect(given) {
  const values = []
  for await (const value of given) checkCount(values).push(value)
  return checkCount(values)
}

function unfold(given) {
  if (given === undefined || given === null) return []
  if (Array.isArray(given)) return checkCount(given)
  if (typeof given === 'object' && (given[Symbol.asyncIterator] || given[Symbol.iterator])) return collect(given)
  return [given]
}

function dumpValue(value) {
  const text = JSON.stringify(value)
  if (text === undefined) throw new TypeError(`a ${typeof value} has no JSON form`)
  return text
}

function dumpOne(answer) {
  try {
    const text = Array.isArray(answer) ? `[${answer.map(dumpValue).join()}]` : JSON.stringify(answer)
    if (text.length <= MOST_BYTES) return text
    return JSON.stringify({ error: `what the code gave is larger than ${MOST_BYTES >> 20} MiB`, final: true })
  } catch (error) {
    return JSON.stringify({ error: `what the code gave is no JSON: ${error.message}`, final: false })
  }
}

function flush(answers) {
  let parts = []
  let size = 0
  for (const answer of answers) {
    const text = dumpOne(answer)
    if (size + text.length > MOST_BYTES) {
      write(`[${parts.join()}]`)
      parts = []
      size = 0
    }
    parts.push(text)
    size += text.length
  }
  write(`[${parts.join()}]`)
}

// One after the other; answers are handed over in time, so that whoever waits knows how far it came.
async function answer(handle, records) {
  let answers = []
  let since = performance.now()
  for (const record of records) {
    try {
      let given = handle(record)
      if (typeof given?.then === 'function') given = await given
      given = unfold(given)
      answers.push(Array.isArray(given) ? given : await given)
    } catch (error) {
      answers.push(fail(error))
    }
    if (answers.length >= FLUSH_RECORDS || performance.now() - since > FLUSH_MILLISECONDS) {
      flush(answers)
      answers = []
      since = performance.now()
    }
  }
  flush(answers)
}

async function load(file) {
  const found = await import(pathToFileURL(file))
  for (const candidate of [found.default, found.handle, found.default?.default, found.default?.handle])
    if (typeof candidate === 'function') return candidate
  throw new TypeError('the code exports no function: `export default (record) => …`, or `module.exports = …`')
}

async function* frames(source) {
  let parts = []
  let size = 0
  for await (const part of source) {
    parts.push(part)
    size += part.length
    while (size >= 4) {
      if (parts[0].length < 4) parts = [Buffer.concat(parts)]
      const end = 4 + parts[0].readUInt32BE()
      if (size < end) break
      const whole = Buffer.concat(parts)
      yield JSON.parse(whole.toString('utf8', 4, end))
      parts = [whole.subarray(end)]
      size -= end
    }
  }
}

let handle
try {
  handle = await load(FILE)
} catch (error) {
  write(JSON.stringify({ refused: describe(error) }))
  process.exit(1)
}
write('{"ready":true}')
for await (const records of frames(new net.Socket({ fd: IN, readable: true, writable: false }))) await answer(handle, records)
process.exit(0)
