// Reads TraceQL queries, a JSON list on standard input, by the grammar of Grafana's editor; answers where each has errors.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-traceql";

const errors = (query) => {
  const found = [];
  parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) found.push(node.from); } });
  return found;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(errors)));
