// What is asked for comes as JSON lists of [what, ...arguments] in DRIVE, or, as an action, in the input `drive`; each answer
// is a line `> JSON`. An error is an answer too: the clients' own words are what a user reads.
import fs from 'node:fs'
import path from 'node:path'

const steps = JSON.parse(process.env.DRIVE || process.env.INPUT_DRIVE)

const artifact = async () => (await import('@actions/artifact')).default
const cache = () => import('@actions/cache')
const walk = folder =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath ?? entry.path, entry.name))

const does = {
  async upload(name, root, options = {}, files = undefined) {
    return (await artifact()).uploadArtifact(name, files ?? walk(root), root, options)
  },
  async list(options = {}) {
    return (await artifact()).listArtifacts(options)
  },
  async get(name, options = {}) {
    return (await artifact()).getArtifact(name, options)
  },
  async download(id, folder, options = {}) {
    return (await artifact()).downloadArtifact(id, { path: folder, ...options })
  },
  async delete(name, options = {}) {
    return (await artifact()).deleteArtifact(name, options)
  },
  async save(paths, key) {
    return (await cache()).saveCache(paths, key)
  },
  async restore(paths, key, others = []) {
    return (await cache()).restoreCache(paths, key, others) ?? null
  },
  async show(file) {
    fs.writeFileSync(file, JSON.stringify(process.env))
  },
  async prove(audience = undefined) {
    return (await import('@actions/core')).getIDToken(audience)
  }
}

for (const [what, ...given] of steps) {
  let answer
  try {
    answer = { value: await does[what](...given) }
  } catch (error) {
    answer = { error: String(error.message), kind: error.name }
  }
  const line = `\n> ${JSON.stringify(answer)}\n`
  process.stdout.write(line)
  if (process.env.DRIVE_ANSWERS) fs.appendFileSync(process.env.DRIVE_ANSWERS, line) // what a log masks
}
