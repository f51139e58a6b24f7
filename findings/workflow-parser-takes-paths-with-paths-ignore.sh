#!/usr/bin/env bash
# @actions/workflow-parser accepts paths with paths-ignore, and filters that only exclude
#
# GitHub allows `paths` or `paths-ignore` of one event, and wants at least one pattern without `!`. The parser accepts both, without a
# warning: a file that it calls good does not start, or starts nothing, when it is pushed.
#
# Version: @actions/workflow-parser 0.3.61 with @actions/expressions 0.3.61 (npm), node 20.
# Source of the rule: GitHub, Workflow syntax, on.<push|pull_request>.<paths|paths-ignore>
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
const both = await errorsOf("  push: {paths: [a], paths-ignore: [b]}\n");
const only = await errorsOf('  push: {branches: ["!main"]}\n');
if (both.length !== 0 || only.length !== 0) {
  console.error("changed:", both, only);
  process.exit(1);
}
console.log("as seen: no error for either");
MODULE
node --import ./json.mjs try.mjs
