// Reads {"expr","contexts"} a line, writes what GitHub's own library makes of it: {"kind","value"} or {"error":{"kind"}}.
import { createInterface } from "node:readline";
import { Evaluator, Lexer, Parser } from "@actions/expressions";
import { kindStr } from "@actions/expressions/data/expressiondata";
import { reviver } from "@actions/expressions/data/reviver";

function attempt(kind, action) {
  try {
    return action();
  } catch (error) {
    throw { kind, message: error.message };
  }
}

function evaluate(expr, contexts) {
  const names = contexts.pairs().map((pair) => pair.key);
  const tokens = attempt("lexing", () => new Lexer(expr).lex().tokens);
  const tree = attempt("parsing", () => new Parser(tokens, names, []).parse());
  if (tree === undefined) return { kind: "Null", value: null };
  const result = attempt("evaluation", () => new Evaluator(tree, contexts).evaluate());
  return { kind: kindStr(result.kind), value: plain(result) };
}

function plain(value) {
  switch (kindStr(value.kind)) {
    case "Null":
      return null;
    case "Array":
      return value.values().map(plain);
    case "Object":
      return Object.fromEntries(value.pairs().map((pair) => [pair.key, plain(pair.value)]));
    case "Number":
      return Number.isFinite(value.value) ? value.value : String(value.value);
    default:
      return value.value;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { expr, contexts } = JSON.parse(line);
  let answer;
  try {
    answer = evaluate(expr, JSON.parse(JSON.stringify(contexts), reviver));
  } catch (error) {
    answer = { error };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
