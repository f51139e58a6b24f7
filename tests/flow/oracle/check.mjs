// One JSON workflow text a line in; for each, a line with GitHub's errors: [[line, column, message], ...].
import {readFileSync} from "node:fs";
import {FeatureFlags} from "@actions/expressions/features";
import {NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow} from "@actions/workflow-parser";
import {TemplateContext, TemplateValidationErrors} from "@actions/workflow-parser/templates/template-context";
import {getWorkflowSchema} from "@actions/workflow-parser/workflows/workflow-schema";

const featureFlags = new FeatureFlags({all: true});

function locate(error) {
  const found = /\(Line: (\d+), Col: (\d+)\): (.*)$/s.exec(error.message);
  return found ? [Number(found[1]), Number(found[2]), found[3]] : [0, 0, error.message];
}

async function check(text) {
  const context = new TemplateContext(new TemplateValidationErrors(), getWorkflowSchema(), new NoOperationTraceWriter());
  context.state.featureFlags = featureFlags;
  const parsed = parseWorkflow({name: "f.yml", content: text}, context);
  if (parsed.value) await convertWorkflowTemplate(parsed.context, parsed.value, undefined, {featureFlags});
  return parsed.context.errors.getErrors().map(locate);
}

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  let errors;
  try {
    errors = await check(JSON.parse(line));
  } catch (error) {
    errors = [[0, 0, `crash: ${error.message}`]];
  }
  console.log(JSON.stringify(errors));
}
