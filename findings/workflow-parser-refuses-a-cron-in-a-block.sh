#!/usr/bin/env bash
# @actions/workflow-parser refuses a cron expression that is written as a block scalar
#
# `cron: |` with the expression on the next line ends in a newline. Repositories have it, and their schedules run at GitHub. The parser
# (and so the editors that stand on it) says `Invalid cron expression`.
#
# Version: @actions/workflow-parser 0.3.61 with @actions/expressions 0.3.61 (npm), node 20.
# Source of the rule: schedules of public repositories that are written so and run
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"type": "module", "private": true}' > package.json
npm install --silent --no-audit --no-fund @actions/workflow-parser@0.3.61 @actions/expressions@0.3.61
# The package imports its JSON schema without saying that it is JSON, so node is told.
cat > json.mjs <<'MODULE'
import {register} from "node:module";
const hook = `
import {readFile} from "node:fs/promises";
export async function load(url, context, next) {
  if (!url.endsWith(".json")) return next(url, context);
  return {format: "module", shortCircuit: true, source: "export default " + (await readFile(new URL(url), "utf8"))};
}`;
register("data:text/javascript," + encodeURIComponent(hook), import.meta.url);
MODULE
cat > try.mjs <<'MODULE'
import {NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow} from "@actions/workflow-parser";
async function errorsOf(on) {
  const content = `on:\n${on}jobs: {a: {runs-on: x, steps: [{run: ":"}]}}\n`;
  const parsed = parseWorkflow({name: "f.yml", content}, new NoOperationTraceWriter());
  if (parsed.value) await convertWorkflowTemplate(parsed.context, parsed.value);
  return parsed.context.errors.getErrors().map((error) => error.message);
}
const plain = await errorsOf('  schedule: [{cron: "0 5 * * *"}]\n');
const block = await errorsOf("  schedule:\n    - cron: |\n        0 5 * * *\n");
if (plain.length !== 0 || !/Invalid cron expression/.test(block.join())) {
  console.error("changed:", plain, block);
  process.exit(1);
}
console.log("as seen:", block[0]);
MODULE
node --import ./json.mjs try.mjs
