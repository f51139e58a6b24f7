// The package imports its JSON schema without saying that it is JSON; node wants to be told.
import {register} from "node:module";

const hook = `
import {readFile} from "node:fs/promises";
export async function load(url, context, next) {
  if (!url.endsWith(".json")) return next(url, context);
  const text = await readFile(new URL(url), "utf8");
  return {format: "module", shortCircuit: true, source: "export default " + text};
}`;
register("data:text/javascript," + encodeURIComponent(hook), import.meta.url);
