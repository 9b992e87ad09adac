// What the packages' own types say of what comes over the wire: their declarations, as
// JSON Schemas that allow no field beside those named.
import { createGenerator } from 'ts-json-schema-generator';
import { Ajv } from 'ajv';

const openai = 'node_modules/openai/resources/';
const anthropic = 'node_modules/@anthropic-ai/sdk/resources/';

// wires are the types of bodies, and of the data of a stream's events.
const wires = {
  'chat completions': [openai + 'chat/completions/completions.d.ts', 'ChatCompletion'],
  'chat completions, streamed': [openai + 'chat/completions/completions.d.ts', 'ChatCompletionChunk'],
  'chat completions, error': [openai + 'shared.d.ts', 'ErrorObject'],
  'responses': [openai + 'responses/responses.d.ts', 'Response'],
  'responses, streamed': [openai + 'responses/responses.d.ts', 'ResponseStreamEvent'],
  'responses, error': [openai + 'shared.d.ts', 'ErrorObject'],
  'messages': [anthropic + 'messages/messages.d.ts', 'Message'],
  'messages, streamed': [anthropic + 'messages/messages.d.ts', 'RawMessageStreamEvent'],
  'messages, error': [anthropic + 'shared.d.ts', 'ErrorResponse'],
};

const generators = new Map();

// validator returns a function that says what is wrong with a value of a wire's type.
export function validator(wire) {
  const [path, type] = wires[wire];
  if (!generators.has(path)) {
    generators.set(path, createGenerator({ path, type: '*', tsconfig: 'tsconfig.json', skipTypeCheck: true, additionalProperties: false }));
  }
  const schema = generators.get(path).createSchema(type);
  for (const [name, d] of Object.entries(schema.definitions)) {
    if (name === 'Response') { // the client adds it to what it has read
      delete d.properties.output_text;
      d.required = d.required.filter((field) => field !== 'output_text');
    }
  }
  const check = new Ajv({ strict: false, allErrors: true, verbose: true }).compile(schema);
  return (value) => {
    if (check(value)) return [];
    // Of a union, what the variant says that has the value's type is what is wrong.
    const fields = check.errors.filter((e) => ['required', 'additionalProperties'].includes(e.keyword)
      && [undefined, e.data.type].includes(e.parentSchema.properties?.type?.const));
    const wrong = (fields.length > 0 ? fields : check.errors)
      .map((e) => `${type}${e.instancePath} ${e.message} ${e.params.additionalProperty ?? e.params.allowedValue ?? ''}`.trim());
    return [...new Set(wrong)].slice(0, 8);
  };
}
