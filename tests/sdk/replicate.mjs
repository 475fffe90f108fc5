// The official npm client reads one prediction of a simulated service.
//
// Usage: node replicate.mjs BASE_URL MODEL INPUT, with `replicate` among the modules that node finds.
// Prints {"text":…,"error":…} as JSON: the text of the stream, and why it failed, or null.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.cwd() + "/"));
const Replicate = require("replicate");

const [url, model, input] = process.argv.slice(2);
const client = new Replicate({ auth: "sdk-check", baseUrl: url });
let text = "";
let error = null;
try {
  for await (const event of client.stream(model, { input: JSON.parse(input) })) {
    if (event.event === "output") text += event.data;
  }
} catch (failure) {
  error = `${failure.name}: ${failure.message}`.split("\n")[0];
}
console.log(JSON.stringify({ text, error }));
// A connection that is kept alive would keep the program alive.
process.exit(0);
