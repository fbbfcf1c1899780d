// A service in JavaScript with OpenTelemetry's own SDK and exporter.
//
//   node otlp_client.mjs http|proto|grpc URL ATTRIBUTES < commands
//
// A command is a list of requests in JSON, one a line; each becomes a span with the attributes and its request. After
// the last line everything that is queued is sent. Prints a line of JSON when the exporter tries again, and at the end
// which requests the exporter says were taken, and which it gave up.
import { createInterface } from "node:readline";
import { diag, DiagLogLevel } from "@opentelemetry/api";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const [kind, url, attributes] = process.argv.slice(2);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);

const say = (line) => console.log(JSON.stringify(line));
const note = (message) => String(message).includes("retry") && say({ retries: String(message) });
diag.setLogger({ verbose: note, debug() {}, info: note, warn: note, error() {} }, DiagLogLevel.ALL);

const taken = [];
const givenUp = [];
const exporter = new OTLPTraceExporter({ url, timeoutMillis: 60_000 });
const send = exporter.export.bind(exporter);
exporter.export = (spans, done) =>
  send(spans, (result) => {
    (result.code === 0 ? taken : givenUp).push(...spans.map((span) => span.attributes["p402.request"]));
    if (result.code !== 0) say({ givesUp: String(result.error) });
    done(result);
  });

const provider = new TracerProvider({
  spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 50, exportTimeoutMillis: 60_000 })],
});
const tracer = provider.getTracer("p402.instrumentation");
const startTime = [1_778_835_600, 0]; // 2026-05-15T09:00:00Z
for await (const line of createInterface({ input: process.stdin })) {
  for (const request of JSON.parse(line)) {
    const span = tracer.startSpan("chat claude-opus-4-5", {
      startTime,
      attributes: { ...JSON.parse(attributes), "p402.request": request },
    });
    span.end([startTime[0] + 1, 500_000_000]);
  }
}
await provider.shutdown().catch(() => {}); // which batches failed is told below
say({ taken, givenUp });
