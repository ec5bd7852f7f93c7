// The official openai client for Node, over responses.
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ADD_SCHEMA, MODEL, NO_MODEL, QUESTION, SUMS, adder, perform, told } from "./scenario.mjs";

const client = new OpenAI();
const asking = (input = QUESTION) => ({ model: MODEL, input });
const point = { format: zodTextFormat(z.object({ x: z.number().int(), label: z.string() }), "point") };
const tools = [{ type: "function", name: "add", strict: true, parameters: ADD_SCHEMA }];

/** Asks, calls what the answer asks for, and goes on from the answer's id. */
async function loop(ask) {
  const box = adder();
  const first = await ask({ ...asking(SUMS), tools });
  const input = first.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ type: "function_call_output", call_id: item.call_id, output: String(box.add(JSON.parse(item.arguments))) }));
  const last = await ask({ ...asking(input), tools, previous_response_id: first.id });
  return { text: last.output_text, sums: box.sums };
}

async function read(stream, said) {
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") said.push(event.delta);
    if (event.type === "response.failed") throw new OpenAI.APIError(undefined, event.response.error, event.response.error.message);
  }
}

await perform({
  async whole() {
    const answer = await client.responses.create(asking());
    return { text: answer.output_text, tokens: answer.usage.total_tokens };
  },
  async stream() {
    const pieces = [];
    await read(await client.responses.create({ ...asking(), stream: true }), pieces);
    return told(pieces);
  },
  async helper() {
    const pieces = [];
    const stream = client.responses.stream(asking()).on("response.output_text.delta", ({ delta }) => pieces.push(delta));
    return { ...told(pieces), text: (await stream.finalResponse()).output_text, pieces: pieces.length };
  },
  tools: () => loop((body) => client.responses.create(body)),
  tools_stream: () => loop((body) => client.responses.stream(body).finalResponse()),
  async structured() {
    return { value: (await client.responses.parse({ ...asking(), text: point })).output_parsed };
  },
  async structured_stream() {
    return { value: (await client.responses.stream({ ...asking(), text: point }).finalResponse()).output_parsed };
  },
  unknown_model: () => client.responses.create({ ...asking(), model: NO_MODEL }),
  rate_limited: () => client.responses.create(asking()),
  cut: async (said) => read(await client.responses.create({ ...asking(), stream: true }), said),
});
