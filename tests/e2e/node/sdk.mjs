// OpenAI's and Anthropic's SDKs for Node: scenarios by name, one a line on standard input, one JSON line for each.
// They use fetch as any application does; what leads it to a proxy is in the environment.
import { createInterface } from 'node:readline';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI, { toFile } from 'openai';

const openai = new OpenAI();
const anthropic = new Anthropic();

const ask = (text) => ({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: text }], temperature: 0 });
const askClaude = (text) => ({
  model: 'claude-sonnet-4-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: text }],
  temperature: 0,
});
const fault = (what) => ({ headers: { 'x-sim-faults': JSON.stringify(what) }, maxRetries: 0 });
const trip = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] };
const picture = Buffer.alloc(2 * 1024 * 1024, 'picture ').toString('base64');

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function raised(call) {
  try {
    await call();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, message: error.message };
  }
  throw new Error('nothing was raised');
}

const scenarios = {
  chat: () => openai.chat.completions.create(ask('node chat')),
  chat_stream: async () => all(await openai.chat.completions.create({ ...ask('node stream'), stream: true })),
  chat_helper: () => openai.chat.completions.stream(ask('node helper')).finalChatCompletion(),
  chat_tools: () =>
    openai.chat.completions.create({
      ...ask('node tools'),
      tools: [{ type: 'function', function: { name: 'plan_trip', parameters: trip } }],
      tool_choice: 'required',
    }),
  chat_vision: () => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } };
    const content = [{ type: 'text', text: 'What is it?' }, image];
    return openai.chat.completions.create({ ...ask(''), messages: [{ role: 'user', content }] });
  },
  chat_raw: async () => {
    const { data, response, request_id } = await openai.chat.completions.create(ask('node raw')).withResponse();
    return { id: data.id, request_id, organization: response.headers.get('openai-organization') };
  },
  responses: () => openai.responses.create({ model: 'gpt-4o-mini', input: 'node', temperature: 0, store: false }),
  responses_stream: async () =>
    all(await openai.responses.create({ model: 'gpt-4o-mini', input: 'n', temperature: 0, store: false, stream: true })),
  embeddings: () => openai.embeddings.create({ model: 'text-embedding-3-small', input: ['one'], dimensions: 16 }),
  speech: async () => {
    const audio = await openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'Node' });
    return Buffer.from(await audio.arrayBuffer()).toString('base64');
  },
  transcription: async () =>
    openai.audio.transcriptions.create({ model: 'whisper-1', file: await toFile(Buffer.alloc(50000), 'a.wav') }),
  models: async () => (await all(openai.models.list())).map((model) => model.id),
  files: async () => {
    const file = await openai.files.create({ file: await toFile(Buffer.from('{}\n'), 'in.jsonl'), purpose: 'batch' });
    return { id: file.id, gone: (await openai.files.delete(file.id)).deleted };
  },
  message: () => anthropic.messages.create(askClaude('node message')),
  message_stream: async () => all(await anthropic.messages.create({ ...askClaude('node stream'), stream: true })),
  message_helper: async () => {
    const pieces = [];
    const stream = anthropic.messages.stream(askClaude('node helper')).on('text', (text) => pieces.push(text));
    return { final: await stream.finalMessage(), pieces };
  },
  message_tools: () =>
    anthropic.messages.create({
      ...askClaude('node tools'),
      tools: [{ name: 'plan_trip', input_schema: trip }],
      tool_choice: { type: 'any' },
    }),
  count_tokens: () => anthropic.messages.countTokens({ model: 'claude-sonnet-4-5', messages: ask('n').messages }),
  claude_models: async () => (await all(anthropic.models.list({ limit: 1 }))).map((model) => model.id),
  twenty_alike: () => Promise.all(Array.from({ length: 20 }, () => openai.chat.completions.create(ask('node twenty')))),
  unknown_model: () => raised(() => openai.chat.completions.create({ ...ask('x'), model: 'no-such-model' })),
  rate_limit: () => raised(() => openai.chat.completions.create(ask('l'), fault({ status: 429, retry_after: '7' }))),
  overloaded: async () => (await raised(() => anthropic.messages.create(askClaude('o'), fault({ status: 529 })))).kind,
  timeout: async () => {
    const options = { ...fault({ latency_s: 4 }), timeout: 800 };
    return raised(() => openai.chat.completions.create(ask('node timeout'), options));
  },
  broken_stream: async () => {
    const stream = await openai.chat.completions.create({ ...ask('broken'), stream: true }, fault({ cut_after: 4 }));
    const seen = [];
    const error = await raised(async () => {
      for await (const chunk of stream) seen.push(chunk.object);
    });
    return { seen, kind: error.kind };
  },
  closed_early: async () => {
    const stream = await openai.chat.completions.create({ ...ask('early'), stream: true }, fault({ stall_after: 6 }));
    const seen = [];
    for await (const chunk of stream) {
      seen.push(chunk);
      if (seen.length === 3) break;
    }
    return seen;
  },
  retried: async () => {
    const { data, response } = await openai.models.retrieve('gpt-retried').withResponse();
    return { id: data.id, status: response.status };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const name = line.trim();
  let answer;
  try {
    answer = { value: name === '?' ? Object.keys(scenarios).sort() : await scenarios[name]() };
  } catch (error) {
    answer = { failure: error.stack };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
