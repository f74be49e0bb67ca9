// Node's clients, as an application in a container uses them. See calls.py for what is asked and answered.
// The SDKs are those of tests/e2e/node.
const { createRequire } = require('node:module');
const https = require('node:https');
const path = require('node:path');
const { createInterface } = require('node:readline');

const sdk = createRequire(path.join(__dirname, '../../e2e/node/package.json'));
const FIELD = 'x-skinflint-cache';
const KEY = 'sk-test';

const chat = (prompt) => ({ model: 'gpt-4o-mini', temperature: 0, messages: [{ role: 'user', content: prompt }] });
const answer = (status, cache, said) => ({ status, cache: cache ?? '', said });
const words = (body) => body.choices[0].message.content;
const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };

const twice = async (call) => [await call(), await call()];

const request = (url, options, body) =>
  new Promise((resolve, reject) => {
    const sent = https.request(url, options, (response) => {
      let text = '';
      response.on('data', (piece) => (text += piece));
      response.on('end', () => resolve({ response, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });

const clients = {
  openai: (host, prompt) => {
    const { OpenAI } = sdk('openai');
    const client = new OpenAI({ apiKey: KEY, maxRetries: 0, ...(host === 'api.openai.com' ? {} : { baseURL: `https://${host}/v1` }) });
    return twice(async () => {
      const { data, response } = await client.chat.completions.create(chat(prompt)).withResponse();
      return answer(response.status, response.headers.get(FIELD), words(data));
    });
  },
  anthropic: (_host, prompt) => {
    const Anthropic = sdk('@anthropic-ai/sdk');
    const client = new (Anthropic.default ?? Anthropic)({ apiKey: KEY, maxRetries: 0 });
    const ask = { model: 'claude-sonnet-4-5', max_tokens: 50, messages: [{ role: 'user', content: prompt }] };
    return twice(async () => {
      const { data, response } = await client.messages.create(ask).withResponse();
      return answer(response.status, response.headers.get(FIELD), data.content[0].text);
    });
  },
  fetch: (host, prompt) =>
    twice(async () => {
      const options = { method: 'POST', headers, body: JSON.stringify(chat(prompt)) };
      const response = await fetch(`https://${host}/v1/chat/completions`, options);
      return answer(response.status, response.headers.get(FIELD), words(await response.json()));
    }),
  https: (host, prompt) =>
    twice(async () => {
      const options = { method: 'POST', headers };
      const { response, text } = await request(`https://${host}/v1/chat/completions`, options, JSON.stringify(chat(prompt)));
      return answer(response.statusCode, response.headers[FIELD], words(JSON.parse(text)));
    }),
};

const trust = {
  https: async (url) => {
    try {
      await request(url, {});
      return 'trusted';
    } catch (error) {
      return `${error.code}: ${error.message}`;
    }
  },
};

const main = async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const wish = JSON.parse(line);
    let made;
    try {
      made = { value: wish.url ? await trust[wish.client](wish.url) : await clients[wish.client](wish.host, wish.prompt) };
    } catch (error) {
      made = { failure: `${error.stack} ${error.cause?.stack ?? ''}` };
    }
    process.stdout.write(JSON.stringify(made) + '\n');
  }
};

main();
