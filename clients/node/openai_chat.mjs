// The official openai client for Node, over chat completions.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ADD_SCHEMA, MODEL, NO_MODEL, QUESTION, SUMS, adder, perform, told } from "./scenario.mjs";

const client = new OpenAI();
const asking = (text = QUESTION) => ({ model: MODEL, messages: [{ role: "user", content: text }] });
const point = zodResponseFormat(z.object({ x: z.number().int(), label: z.string() }), "point");

function addition(box) {
  const add = { name: "add", parameters: ADD_SCHEMA, parse: JSON.parse, function: (sum) => String(box.add(sum)) };
  return [{ type: "function", function: add }];
}

await perform({
  async whole() {
    const answer = await client.chat.completions.create(asking());
    return { text: answer.choices[0].message.content, tokens: answer.usage.total_tokens };
  },
  async stream() {
    const pieces = [];
    for await (const chunk of await client.chat.completions.create({ ...asking(), stream: true })) {
      pieces.push(chunk.choices[0].delta.content);
    }
    return told(pieces);
  },
  async helper() {
    const pieces = [];
    const stream = client.chat.completions.stream(asking()).on("content", (piece) => pieces.push(piece));
    const answer = await stream.finalChatCompletion();
    return { ...told(pieces), text: answer.choices[0].message.content };
  },
  async tools() {
    const box = adder();
    const runner = client.chat.completions.runTools({ ...asking(SUMS), tools: addition(box) });
    return { text: await runner.finalContent(), sums: box.sums };
  },
  async tools_stream() {
    const box = adder();
    const runner = client.chat.completions.runTools({ ...asking(SUMS), tools: addition(box), stream: true });
    return { text: await runner.finalContent(), sums: box.sums };
  },
  async structured() {
    const answer = await client.chat.completions.parse({ ...asking(), response_format: point });
    return { value: answer.choices[0].message.parsed };
  },
  async structured_stream() {
    const answer = await client.chat.completions.stream({ ...asking(), response_format: point }).finalChatCompletion();
    return { value: answer.choices[0].message.parsed };
  },
  async completions() {
    const whole = await client.completions.create({ model: MODEL, prompt: QUESTION });
    const pieces = [];
    for await (const chunk of await client.completions.create({ model: MODEL, prompt: QUESTION, stream: true })) {
      pieces.push(chunk.choices[0]?.text);
    }
    return whole.choices[0].text === pieces.join("") ? told(pieces) : { text: whole.choices[0].text };
  },
  async models() {
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    return { text: (await client.models.retrieve(found[0])).id, first: found[0] };
  },
  unknown_model: () => client.chat.completions.create({ ...asking(), model: NO_MODEL }),
  rate_limited: () => client.chat.completions.create(asking()),
  async cut(said) {
    for await (const chunk of await client.chat.completions.create({ ...asking(), stream: true })) {
      said.push(chunk.choices[0].delta.content);
    }
  },
});
