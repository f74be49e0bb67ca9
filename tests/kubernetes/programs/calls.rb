# Ruby's Net::HTTP, as an application in a container uses it.
# `calls.rb ask HOST PROMPT` makes the same call twice; `calls.rb trust URL...` says of each server whether it is trusted.
require 'json'
require 'net/http'

def ask(host, prompt)
  chat = { model: 'gpt-4o-mini', temperature: 0, messages: [{ role: 'user', content: prompt }] }
  fields = { 'authorization' => 'Bearer sk-test', 'content-type' => 'application/json' }
  made = Net::HTTP.post(URI("https://#{host}/v1/chat/completions"), JSON.dump(chat), fields)
  { status: made.code.to_i, cache: made['x-skinflint-cache'] || '', said: JSON.parse(made.body)['choices'][0]['message']['content'] }
end

def judged(url)
  Net::HTTP.get_response(URI(url))
  'trusted'
rescue StandardError => e
  "#{e.class}: #{e.message}"
end

puts JSON.dump(ARGV[0] == 'trust' ? ARGV[1..].map { |url| judged(url) } : Array.new(2) { ask(ARGV[1], ARGV[2]) })
