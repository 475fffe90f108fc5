// Official npm clients of the chat protocol read one answer of a simulated service.
//
// Usage: node chat.mjs BASE_URL REQUEST, in the folder whose `node_modules` holds `ai`,
// `@ai-sdk/cerebras`, `@ai-sdk/openai-compatible` and `openai`.
// REQUEST is what the service is to get, as JSON. Prints what each client read, by its name, as JSON:
// {"text":…,"reasoning":…,"calls":[{"id":…,"name":…,"arguments":…}],"finish":…,"prompt":…,
// "completion":…,"total":…,"error":…}, where the arguments are text, or a value if the client parses
// them.

import { load } from "./modules.mjs";

const { generateText, jsonSchema, Output, streamText, tool } = await load("ai");
const { createCerebras } = await load("@ai-sdk/cerebras");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { OpenAI } = await load("openai");

const apiKey = "sdk-check";
const baseURL = process.argv[2];
const request = JSON.parse(process.argv[3]);

// Lets a client read, and keeps what it read before it failed.
async function read(client) {
  const answer = { text: "", reasoning: "", calls: [], finish: null };
  Object.assign(answer, { prompt: null, completion: null, total: null, error: null });
  try {
    await client(answer);
  } catch (failure) {
    answer.error ??= said(failure);
  }
  return answer;
}

function said(failure) {
  return `${failure?.name}: ${failure?.message}`.split("\n")[0];
}

// Adds a message of the protocol, or a piece of one.
function add(answer, message) {
  answer.text += message.content ?? "";
  answer.reasoning += message.reasoning ?? "";
  for (const [place, call] of (message.tool_calls ?? []).entries()) {
    const kept = (answer.calls[call.index ?? place] ??= { id: null, name: "", arguments: "" });
    kept.id = call.id ?? kept.id;
    kept.name += call.function.name ?? "";
    kept.arguments += call.function.arguments ?? "";
  }
}

function count(answer, usage) {
  answer.prompt = usage?.prompt_tokens ?? answer.prompt;
  answer.completion = usage?.completion_tokens ?? answer.completion;
  answer.total = usage?.total_tokens ?? answer.total;
}

const openai = new OpenAI({ apiKey, baseURL, maxRetries: 0 });

async function byCreate(answer) {
  const given = await openai.chat.completions.create(request);
  for await (const chunk of request.stream ? given : [given]) {
    for (const choice of chunk.choices) {
      add(answer, choice.delta ?? choice.message);
      answer.finish = choice.finish_reason ?? answer.finish;
    }
    count(answer, chunk.usage);
  }
}

// The same client puts the pieces together by itself.
async function byStream(answer) {
  const given = openai.chat.completions.stream(request);
  try {
    await given.done();
  } finally {
    const whole = given.currentChatCompletionSnapshot ?? (await given.finalChatCompletion());
    add(answer, whole.choices[0].message);
    answer.finish = whole.choices[0].finish_reason;
    count(answer, whole.usage);
  }
}

// The AI SDK, whatever the provider: it has one shape for all.
async function byAi(model, answer) {
  const tools = request.tools?.map(({ function: { name, parameters } }) => [
    name,
    tool({ inputSchema: jsonSchema(parameters) }),
  ]);
  const form = request.response_format?.json_schema;
  const named = request.tool_choice?.function?.name;
  const settings = {
    model,
    messages: request.messages,
    maxOutputTokens: request.max_completion_tokens,
    seed: request.seed,
    tools: tools && Object.fromEntries(tools),
    // The response is parsed, too, where it is to have a form.
    output: form && Output.object({ name: form.name, schema: jsonSchema(form.schema) }),
    toolChoice: named ? { type: "tool", toolName: named } : request.tool_choice,
    maxRetries: 0,
    // The failure is read where it stands in the stream.
    onError: () => {},
  };
  const end = ({ rawFinishReason }, usage) => {
    answer.finish = rawFinishReason ?? null;
    answer.prompt = usage.inputTokens ?? null;
    answer.completion = usage.outputTokens ?? null;
    answer.total = usage.totalTokens ?? null;
  };
  const call = ({ toolCallId, toolName, input }) =>
    answer.calls.push({ id: toolCallId, name: toolName, arguments: input });
  if (!request.stream) {
    const given = await generateText(settings);
    answer.text = given.text;
    answer.reasoning = given.reasoningText ?? "";
    given.toolCalls.forEach(call);
    return end(given, given.usage);
  }
  for await (const part of streamText(settings).fullStream) {
    if (part.type === "text-delta") answer.text += part.text;
    else if (part.type === "reasoning-delta") answer.reasoning += part.text;
    else if (part.type === "tool-call") call(part);
    else if (part.type === "error") answer.error ??= said(part.error);
    else if (part.type === "finish") end(part, part.totalUsage);
  }
}

const cerebras = createCerebras({ apiKey, baseURL })(request.model);
const compatible = createOpenAICompatible({
  name: "simulated",
  apiKey,
  baseURL,
  includeUsage: request.stream_options?.include_usage,
  supportsStructuredOutputs: true,
})(request.model);
const answers = { "openai (npm)": await read(byCreate) };
if (request.stream) answers["openai (npm) stream()"] = await read(byStream);
answers["@ai-sdk/cerebras"] = await read((answer) => byAi(cerebras, answer));
answers["@ai-sdk/openai-compatible"] = await read((answer) => byAi(compatible, answer));
console.log(JSON.stringify(answers));
// A connection that is kept alive would keep the program alive.
process.exit(0);
