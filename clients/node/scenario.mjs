// What every client is asked to do, and how it tells what it saw: one JSON object, as the last line that it prints.
// Where the gateway is comes from the environment, in the variables that the official clients read by themselves.

export const MODEL = "sonnet";
export const NO_MODEL = "llama-3";
export const QUESTION = "What do you say?";
export const SUMS = "Add 1 and 2, and add 3 and 4.";

/** A tool that remembers what it was asked. */
export function adder() {
  const sums = [];
  return {
    sums,
    add({ a, b }) {
      sums.push(`${a}+${b}`);
      return a + b;
    },
  };
}

export const ADD_SCHEMA = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
  additionalProperties: false,
};

/** What a stream was: its text, and in how many pieces it came. */
export function told(pieces) {
  const filled = pieces.filter((piece) => piece);
  return { text: filled.join(""), pieces: filled.length };
}

/** Does what the command line names, and tells what came of it; an error is an outcome too. */
export async function perform(scenarios) {
  const said = [];
  let outcome;
  try {
    outcome = await scenarios[process.argv[2]](said);
  } catch (error) {
    outcome = { ...told(said), error: error.constructor.name, message: String(error.message) };
  }
  console.log(JSON.stringify(outcome));
}
