// The official npm provider of Workers AI reads one answer of a simulated service.
//
// Usage: node cloudflare.mjs BASE_URL ACCOUNT MODEL PROMPT MAX_TOKENS, in the folder whose
// `node_modules` holds `ai` and `workers-ai-provider`.
// Prints {"text":…,"finish":…,"input":…,"output":…,"error":…} as JSON.

import { load } from "./modules.mjs";

const { streamText } = await load("ai");
const { createWorkersAI } = await load("workers-ai-provider");

const [base, accountId, model, prompt, limit] = process.argv.slice(2);
// The provider has the service's address in it.
const fetched = globalThis.fetch;
globalThis.fetch = (url, init) =>
  fetched(String(url).replace("https://api.cloudflare.com/client/v4", base), init);

const answer = { text: "", finish: null, input: null, output: null, error: null };
try {
  const result = streamText({
    model: createWorkersAI({ accountId, apiKey: "sdk-check" })(model),
    prompt,
    maxOutputTokens: Number(limit),
    maxRetries: 0,
    onError: ({ error }) => (answer.error = String(error?.message ?? error).split("\n")[0]),
  });
  for await (const piece of result.textStream) answer.text += piece;
  answer.finish = await result.finishReason;
  const usage = await result.usage;
  answer.input = usage.inputTokens ?? null;
  answer.output = usage.outputTokens ?? null;
} catch (failure) {
  answer.error ??= String(failure?.message ?? failure).split("\n")[0];
}
console.log(JSON.stringify(answer));
process.exit(0);
