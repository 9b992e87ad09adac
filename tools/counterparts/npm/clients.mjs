// The official clients of npm against a scripted model: node clients.mjs URL. Each check is
// a line of JSON, {"check": ..., "wrong": [...]}, and the last one is {"checks": n}.
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { isDeepStrictEqual } from 'node:util';
import { validator } from './types.mjs';

const url = process.argv[2];
let raw = []; // what came since a question began: [status, type, body]

async function listening(input, init) {
  const r = await fetch(input, init);
  const [mine, theirs] = r.body.tee();
  raw.push(new Response(mine).text().then((text) => [r.status, r.headers.get('content-type'), text], (err) => [0, '', String(err)]));
  return new Response(theirs, r);
}

const openai = new OpenAI({ baseURL: url + '/v1', apiKey: 'none', maxRetries: 0, fetch: listening });
const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0, fetch: listening });

const coat = { type: 'object', properties: { coat: { type: 'boolean' } }, required: ['coat'], additionalProperties: false };
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const results = { Oslo: '{"sky":"sun"}', Rome: '{"sky":"rain"}' };

// apis are the three: how they are asked, and what of an answer is compared. A turn is the
// answer, and the conversation so far with it.
const apis = {
  'chat completions': {
    begin: (kind) => [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: kind }],
    body: (kind, messages) => ({
      model: 'scripted', messages, tools: [{ type: 'function', function: { name: 'get_weather', parameters: city } }],
      ...(kind === 'structured' && { response_format: { type: 'json_schema', json_schema: { name: 'coat', strict: true, schema: coat } } }),
    }),
    whole: (body) => openai.chat.completions.create(body),
    stream: (body) => openai.chat.completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion(),
    gist: (c) => {
      const { content, refusal, tool_calls } = c.choices[0].message;
      return { text: content || '', refusal: refusal ?? '', calls: (tool_calls ?? []).map((t) => [t.function.name, JSON.parse(t.function.arguments)]), why: c.choices[0].finish_reason, tokens: c.usage.completion_tokens };
    },
    answer: (messages, c) => [...messages, c.choices[0].message,
      ...c.choices[0].message.tool_calls.map((t) => ({ role: 'tool', tool_call_id: t.id, content: results[JSON.parse(t.function.arguments).city] }))],
    failed: OpenAI, body_of_error: (e) => e.error,
  },
  'responses': {
    begin: (kind) => [{ role: 'user', content: kind }],
    body: (kind, input) => ({
      model: 'scripted', input, instructions: 'Be brief.', store: false, include: ['reasoning.encrypted_content'], reasoning: { summary: 'auto' },
      tools: [{ type: 'function', name: 'get_weather', parameters: city, strict: true }],
      ...(kind === 'structured' && { text: { format: { type: 'json_schema', name: 'coat', strict: true, schema: coat } } }),
    }),
    whole: (body) => openai.responses.create(body),
    stream: (body) => openai.responses.stream(body).finalResponse(),
    gist: (r) => ({
      text: r.output_text, refusal: r.output.flatMap((o) => o.content ?? []).filter((c) => c.type === 'refusal').map((c) => c.refusal).join(''),
      thought: r.output.filter((o) => o.type === 'reasoning').flatMap((o) => o.summary.map((s) => s.text)).join(''),
      calls: r.output.filter((o) => o.type === 'function_call').map((o) => [o.name, JSON.parse(o.arguments)]), why: r.incomplete_details?.reason ?? r.status, tokens: r.usage.output_tokens,
    }),
    answer: (input, r) => [...input, ...JSON.parse(JSON.stringify(r.output, (name, v) => name.startsWith('parsed') ? undefined : v)), // which the client has added
      ...r.output.filter((o) => o.type === 'function_call').map((o) => ({ type: 'function_call_output', call_id: o.call_id, output: results[JSON.parse(o.arguments).city] }))],
    failed: OpenAI, body_of_error: (e) => e.error,
  },
  'messages': {
    begin: (kind) => [{ role: 'user', content: kind }],
    body: (kind, messages) => ({
      model: 'scripted', max_tokens: 4000, messages, system: 'Be brief.', tools: [{ name: 'get_weather', input_schema: city }],
      ...(kind === 'thinking' && { thinking: { type: 'adaptive' } }),
      ...(kind === 'structured' && { output_config: { format: { type: 'json_schema', schema: coat } } }),
    }),
    whole: (body) => anthropic.messages.create(body),
    stream: (body) => anthropic.messages.stream(body).finalMessage(),
    gist: (m) => {
      const of = (type) => m.content.filter((c) => c.type === type);
      return {
        text: of('text').map((c) => c.text).join(''), refusal: m.stop_details?.explanation ?? '', thought: of('thinking').map((c) => c.thinking).join(''),
        calls: of('tool_use').map((c) => [c.name, c.input]), why: m.stop_reason, tokens: m.usage.output_tokens,
      };
    },
    answer: (messages, m) => [...messages, { role: 'assistant', content: m.content },
      { role: 'user', content: m.content.filter((c) => c.type === 'tool_use').map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: results[c.input.city] })) }],
    failed: Anthropic, body_of_error: (e) => e,
  },
};

const ends = { // why an answer ends
  'chat completions': { text: 'stop', calls: 'tool_calls', refusal: 'stop', length: 'length', filtered: 'content_filter' },
  'responses': { text: 'completed', calls: 'completed', refusal: 'completed', length: 'max_output_tokens', filtered: 'content_filter' },
  'messages': { text: 'end_turn', calls: 'tool_use', refusal: 'refusal', length: 'max_tokens', filtered: 'refusal' },
};
const oslo = ['get_weather', { city: 'Oslo' }];
const rome = ['get_weather', { city: 'Rome' }];
const kinds = { // what is in an answer of a kind
  'text': { text: 'It is a long answer.', end: 'text' },
  'calls': { text: 'I look.', calls: [oslo, rome], end: 'calls' },
  'only calls': { calls: [oslo], end: 'calls' },
  'thinking': { thought: 'Let me see.', text: 'So I look.', calls: [oslo], end: 'calls' },
  'refusal': { refusal: 'I would rather not.', end: 'refusal' },
  'structured': { text: '{"coat":true}', end: 'text' },
  'length': { text: 'and so', end: 'length' },
  'filtered': { text: 'and so', end: 'filtered' },
};
const errors = { 400: 'BadRequestError', 401: 'AuthenticationError', 403: 'PermissionDeniedError', 404: 'NotFoundError', 429: 'RateLimitError', 500: 'InternalServerError', 529: 'InternalServerError' };

let checks = 0;
const validators = new Map();
const seen = new Map(); // values that were right, by wire

async function check(name, fn) {
  checks++;
  const wrong = [];
  raw = [];
  try {
    await fn((w) => wrong.push(w));
  } catch (err) {
    wrong.push(String(err.stack ?? err).slice(0, 600));
  }
  console.log(JSON.stringify({ check: name, wrong: [...new Set(wrong)] }));
}

// conform says what is wrong with a value by the type of a wire.
function conform(wire, value, wrong) {
  if (!validators.has(wire)) validators.set(wire, validator(wire));
  const found = validators.get(wire)(value);
  found.forEach((f) => wrong(f));
  if (found.length === 0) seen.set(wire, [...(seen.get(wire) ?? []), value]);
}

// conformAll does so with all that came since the question began.
async function conformAll(api, streamed, wrong) {
  for (const [status, type, text] of await Promise.all(raw)) {
    if (status !== 200) {
      wrong(`status ${status}: ${text.slice(0, 300)}`);
    } else if (!streamed) {
      conform(api, JSON.parse(text), wrong);
    } else {
      if (type !== 'text/event-stream') wrong(`the type of the stream is ${type}`);
      for (const event of text.split('\n\n').filter((e) => e !== '')) {
        const named = /^event: (.*)$/m.exec(event)?.[1];
        const data = event.split('\n').filter((l) => l.startsWith('data: ')).map((l) => l.slice(6)).join('\n');
        if (data === '[DONE]') continue;
        const value = JSON.parse(data);
        if (named !== undefined && named !== value.type) wrong(`an event is called ${named}, and its data ${value.type}`);
        if (named !== 'ping') conform(api + ', streamed', value, wrong); // which the types leave out
      }
    }
  }
}

function like(api, kind, got, wrong) {
  const want = kinds[kind];
  const { tokens, why, ...gist } = got;
  const parts = { text: want.text ?? '', refusal: want.refusal ?? '', calls: want.calls ?? [] };
  if ('thought' in gist) parts.thought = want.thought ?? '';
  if (!isDeepStrictEqual(gist, parts)) wrong(`the answer is ${JSON.stringify(gist)}, want ${JSON.stringify(parts)}`);
  if (why !== ends[api][want.end]) wrong(`it ends because of ${why}, want ${ends[api][want.end]}`);
  if (!(tokens > 0) && kind !== 'refusal') wrong(`it has ${tokens} tokens`);
}

for (const [api, a] of Object.entries(apis)) {
  for (const way of ['whole', 'stream']) {
    const streamed = way === 'stream';
    for (const kind of Object.keys(kinds)) {
      await check(`${api}, ${kind}, ${way}`, async (wrong) => {
        const messages = a.begin(kind);
        const answer = await a[way](a.body(kind, messages));
        like(api, kind, a.gist(answer), wrong);
        if (kinds[kind].calls) { // as it came, with what the tools say
          const next = await a[way](a.body(kind, a.answer(messages, answer)));
          const said = kinds[kind].calls.length > 1 ? 'It is rain.' : 'It is sun.';
          if (a.gist(next).text !== said) wrong(`after the results it says ${JSON.stringify(a.gist(next).text)}, want ${said}`);
        }
        await conformAll(api, streamed, wrong);
      });
    }
    for (const [status, name] of Object.entries(errors)) {
      await check(`${api}, fails ${status}, ${way}`, async (wrong) => {
        const err = await a[way](a.body('text', a.begin(`fails ${status}`))).then(() => undefined, (e) => e);
        if (!(err instanceof a.failed[name]) || err.status !== Number(status) || !err.message.includes('no such luck')) wrong(`the error is ${err?.constructor.name} ${err}, want a ${name}`);
        if (err?.error !== undefined) conform(api + ', error', a.body_of_error(err.error.error === undefined ? { error: err.error } : err.error), wrong);
        else wrong('the error has no body');
      });
    }
  }
  await check(`${api}, fails midway`, async (wrong) => {
    const err = await a.stream(a.body('text', a.begin('fails midway'))).then(() => undefined, (e) => e);
    if (!(err instanceof a.failed.APIError) || !JSON.stringify(err.error ?? err.message).includes('no such luck')) wrong(`the error is ${err?.constructor.name} ${err}`);
  });
}

// Each of the types must be able to refuse: every value that was right is so no more with a
// field that nobody knows, at every place, and at some places without a field.
const free = ['parameters', 'input', 'metadata', 'details']; // what may have anything

function* places(value, path = '') {
  if (Array.isArray(value)) {
    for (const [i, v] of value.entries()) yield* places(v, `${path}/${i}`);
  } else if (value !== null && typeof value === 'object') {
    yield [path, value];
    for (const [name, v] of Object.entries(value)) if (!free.includes(name)) yield* places(v, `${path}/${name}`);
  }
}

for (const wire of [...validators.keys()]) {
  await check(`the types of ${wire} refuse what is wrong`, async (wrong) => {
    let missed = 0;
    for (const value of seen.get(wire) ?? []) {
      for (const [path, object] of places(value)) {
        object.unheard_of = 1;
        if (validators.get(wire)(value).length === 0) wrong(`a field that nobody knows passes at ${path || '/'}`);
        delete object.unheard_of;
        for (const [name, v] of Object.entries(object)) {
          delete object[name];
          if (validators.get(wire)(value).length > 0) missed++;
          object[name] = v;
        }
      }
    }
    if (missed < 3) wrong(`only ${missed} fields are missed`);
  });
}
console.log(JSON.stringify({ checks }));
