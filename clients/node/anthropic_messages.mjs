// The official Anthropic client for Node.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { MODEL, NO_MODEL, QUESTION, SUMS, adder, perform, told } from "./scenario.mjs";

const client = new Anthropic();
const asking = (text = QUESTION) => ({ model: MODEL, max_tokens: 1000, messages: [{ role: "user", content: text }] });
const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

function addition(box) {
  const inputSchema = z.object({ a: z.number().int(), b: z.number().int() });
  return [betaZodTool({ name: "add", description: "Add two numbers.", inputSchema, run: (sum) => String(box.add(sum)) })];
}

await perform({
  async whole() {
    const answer = await client.messages.create(asking());
    return { text: textOf(answer), tokens: answer.usage.input_tokens + answer.usage.output_tokens };
  },
  async stream() {
    const pieces = [];
    for await (const event of await client.messages.create({ ...asking(), stream: true })) {
      if (event.type === "content_block_delta") pieces.push(event.delta.text);
    }
    return told(pieces);
  },
  async helper() {
    const pieces = [];
    const answer = await client.messages.stream(asking()).on("text", (piece) => pieces.push(piece)).finalMessage();
    return { ...told(pieces), text: textOf(answer) };
  },
  async thinking() {
    const answer = await client.messages.stream(asking()).finalMessage();
    const thought = answer.content.find((block) => block.type === "thinking");
    return { text: textOf(answer), thinking: thought.thinking };
  },
  async tools() {
    const box = adder();
    return { text: textOf(await client.beta.messages.toolRunner({ ...asking(SUMS), tools: addition(box) })), sums: box.sums };
  },
  async tools_stream() {
    const box = adder();
    const runner = client.beta.messages.toolRunner({ ...asking(SUMS), tools: addition(box), stream: true });
    let answer;
    for await (const stream of runner) answer = await stream.finalMessage();
    return { text: textOf(answer), sums: box.sums };
  },
  async structured() {
    const format = zodOutputFormat(z.object({ x: z.number().int(), label: z.string() }));
    const answer = await client.messages.parse({ ...asking(), output_config: { format } });
    return { value: answer.parsed_output };
  },
  async count() {
    return { text: String((await client.messages.countTokens({ model: MODEL, messages: asking().messages })).input_tokens) };
  },
  async models() {
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    return { text: (await client.models.retrieve(found[0])).id, first: found[0] };
  },
  unknown_model: () => client.messages.create({ ...asking(), model: NO_MODEL }),
  rate_limited: () => client.messages.create(asking()),
  async cut(said) {
    for await (const event of await client.messages.create({ ...asking(), stream: true })) {
      if (event.type === "content_block_delta") said.push(event.delta.text);
    }
  },
});
