// The Vercel AI SDK, over the provider that the environment's PROVIDER names.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, NO_MODEL, QUESTION, SUMS, adder, perform, told } from "./scenario.mjs";

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey } = process.env;
const models = {
  "openai-compatible": (id) => createOpenAICompatible({ name: "gateway", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true })(id),
  openai: (id) => createOpenAI({ baseURL, apiKey }).chat(id),
  responses: (id) => createOpenAI({ baseURL, apiKey }).responses(id),
  anthropic: (id) => createAnthropic({ baseURL, apiKey })(id),
};
const asking = (prompt = QUESTION, id = MODEL) => ({ model: models[process.env.PROVIDER](id), prompt, maxRetries: 0 });
const schema = z.object({ x: z.number().int(), label: z.string() });

function addition(box) {
  const inputSchema = z.object({ a: z.number().int(), b: z.number().int() });
  const add = tool({ description: "Add two numbers.", inputSchema, execute: async (sum) => box.add(sum) });
  return { tools: { add }, stopWhen: isStepCount(5) };
}

/** Everything of a stream; its errors come as parts. */
async function read(stream, said) {
  for await (const part of stream) {
    if (part.type === "text-delta") said.push(part.text);
    if (part.type === "error") throw part.error;
  }
}

await perform({
  async whole() {
    const answer = await generateText(asking());
    return { text: answer.text, tokens: answer.usage.totalTokens, finish: answer.finishReason };
  },
  async stream() {
    const pieces = [];
    const answer = streamText(asking());
    await read(answer.fullStream, pieces);
    return { ...told(pieces), tokens: (await answer.usage).totalTokens, finish: await answer.finishReason };
  },
  async thinking() {
    const answer = streamText(asking());
    await read(answer.fullStream, []);
    return { text: await answer.text, thinking: await answer.reasoningText };
  },
  async tools() {
    const box = adder();
    const answer = await generateText({ ...asking(SUMS), ...addition(box) });
    return { text: answer.text, sums: box.sums };
  },
  async tools_stream() {
    const box = adder();
    const answer = streamText({ ...asking(SUMS), ...addition(box) });
    await read(answer.fullStream, []);
    return { text: await answer.text, sums: box.sums };
  },
  async structured() {
    return { value: (await generateObject({ ...asking(), schema })).object };
  },
  async structured_stream() {
    let value;
    for await (value of streamObject({ ...asking(), schema }).partialObjectStream);
    return { value };
  },
  async length() {
    const whole = await generateText(asking());
    const answer = streamText(asking());
    await read(answer.fullStream, []);
    return { text: await answer.text, finish: [whole.finishReason, await answer.finishReason] };
  },
  unknown_model: () => generateText(asking(QUESTION, NO_MODEL)),
  rate_limited: () => generateText(asking()),
  cut: (said) => read(streamText({ ...asking(), onError: () => {} }).fullStream, said),
});
