// Loaded by NODE_OPTIONS into Node versions that do not know HTTPS_PROXY (before 22.21, and 24.0 to 24.4), so that
// fetch, https and http2 go through the proxy there as NODE_USE_ENV_PROXY makes newer versions do.
//
// It replaces tls.connect alone, which all three call. A connection that is HTTPS (by its ALPN or its port), has no
// socket of its own and is not excepted by NO_PROXY, is given a stream that opens a CONNECT tunnel first. Any other
// connection is made as before. Nothing is read later than at start; nothing is printed.
'use strict';

const [major, minor] = process.versions.node.split('.').map(Number);
const isNative = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);

function proxyFrom(environment) {
  try {
    const url = new URL(environment.https_proxy || environment.HTTPS_PROXY || '');
    return url.protocol === 'http:' ? url : undefined;
  } catch {
    return undefined;
  }
}

function bare(host) {
  return host.toLowerCase().replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

// An entry covers a name and what is below it, with or without a leading dot or `*.`; a port narrows it.
function exceptions(environment) {
  const entries = (environment.no_proxy || environment.NO_PROXY || '').split(/[\s,]+/).filter(Boolean);
  return entries.map((entry) => {
    const [, name, port] = /^(\[[^\]]*\]|[^:]*|[^:]*:[^:]*:.*?)(?::(\d+))?$/.exec(entry) || [, entry];
    return { name: bare(name).replace(/^\*?\./, ''), port: port ? Number(port) : undefined };
  });
}

function isExcepted(list, host, port) {
  const name = bare(host);
  return list.some(
    (entry) =>
      (entry.name === '*' || name === entry.name || name.endsWith('.' + entry.name)) &&
      (entry.port === undefined || entry.port === port),
  );
}

// tls.connect(options[, done]) and tls.connect(port[, host][, options][, done]) as one object.
function normalized(args) {
  const rest = [...args];
  const done = typeof rest.at(-1) === 'function' ? rest.pop() : undefined;
  const options = {};
  for (const value of rest) {
    if (value !== null && typeof value === 'object') Object.assign(options, value);
    else if (typeof value === 'string' && !/^\d+$/.test(value)) options.host = value;
    else if (value !== undefined && value !== null) options.port = Number(value);
  }
  return { options, done };
}

function speaksHttp(options) {
  const offered = options.ALPNProtocols;
  if (Array.isArray(offered) && offered.length > 0) return offered.includes('http/1.1') || offered.includes('h2');
  return Number(options.port) === 443;
}

function tunnelClass(net, { Duplex }) {
  const MAX_HEAD = 16384;
  return class Tunnel extends Duplex {
    constructor(proxy, authority) {
      super({ allowHalfOpen: true });
      this.isOpen = false;
      this.head = Buffer.alloc(0);
      this.held = undefined; // the write that waits for the tunnel: a Duplex has one at a time
      this.raw = net.connect({ host: bare(proxy.hostname), port: Number(proxy.port || 80), noDelay: true });
      this.raw.on('data', (piece) => this.take(piece));
      this.raw.on('end', () => (this.isOpen ? this.push(null) : this.fail('the proxy closed the connection')));
      this.raw.on('error', (error) => this.destroy(error));
      this.raw.on('close', () => this.destroy());
      const credentials = decodeURIComponent(proxy.username) + ':' + decodeURIComponent(proxy.password);
      const authorization = credentials === ':' ? '' : `Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
      this.raw.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`);
    }

    fail(message) {
      this.destroy(Object.assign(new Error(message), { code: 'ERR_PROXY_TUNNEL' }));
    }

    take(piece) {
      if (this.isOpen) {
        if (!this.push(piece)) this.raw.pause();
        return;
      }
      this.head = Buffer.concat([this.head, piece]);
      const end = this.head.indexOf('\r\n\r\n');
      if (end < 0) {
        if (this.head.length > MAX_HEAD) this.fail('the proxy answered CONNECT with too long a head');
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(this.head.toString('latin1', 0, 16));
      if (!status || status[1][0] !== '2') {
        this.fail(`the proxy answered CONNECT with ${status ? status[1] : 'something that is not HTTP'}`);
        return;
      }
      this.isOpen = true;
      const rest = this.head.subarray(end + 4);
      this.head = undefined;
      if (rest.length > 0) this.push(rest);
      if (this.held) {
        const { chunk, written } = this.held;
        this.held = undefined;
        this.raw.write(chunk, written);
      }
    }

    _read() {
      this.raw.resume();
    }

    _write(chunk, encoding, written) {
      if (this.isOpen) this.raw.write(chunk, written);
      else this.held = { chunk, written };
    }

    _final(done) {
      this.raw.end(done);
    }

    _destroy(error, done) {
      this.raw.destroy();
      done(error);
    }
  };
}

function install(proxy, list) {
  const net = require('node:net');
  const tls = require('node:tls');
  const Tunnel = tunnelClass(net, require('node:stream'));
  const connect = tls.connect;
  const isProxy = (host, port) => bare(host) === bare(proxy.hostname) && port === Number(proxy.port || 80);

  tls.connect = function (...args) {
    const { options, done } = normalized(args);
    const host = String(options.host || 'localhost');
    const port = Number(options.port);
    const isOurs = !options.socket && !options.path && port > 0 && speaksHttp(options);
    if (!isOurs || isProxy(host, port) || isExcepted(list, host, port)) return connect.apply(this, args);

    const tunnel = new Tunnel(proxy, `${net.isIPv6(bare(host)) ? `[${bare(host)}]` : host}:${port}`);
    const socket = connect.call(this, { ...options, socket: tunnel }, done);
    // The stream between hides the real socket: hand on what decides whether it keeps the process alive.
    for (const name of ['ref', 'unref', 'setKeepAlive']) {
      const inherited = socket[name];
      socket[name] = function (...values) {
        tunnel.raw[name](...values);
        return inherited.apply(this, values);
      };
    }
    if (options.timeout) socket.setTimeout(options.timeout);
    return socket;
  };
  require('node:module').syncBuiltinESMExports();
}

const proxy = isNative ? undefined : proxyFrom(process.env);
if (proxy) install(proxy, exceptions(process.env));
