// Calls all of Node's hot-shots: hot_shots.js buffered|aggregated|each udp|tcp HOST PORT, or ... stream|datagram PATH.

const net = require('net');
const { StatsD } = require('hot-shots');

const [manner, transport, host, port] = process.argv.slice(2);
const options = { prefix: 'js.', globalTags: { env: 'test' } };
if (manner === 'buffered') options.maxBufferSize = 1000;
if (manner === 'aggregated') options.aggregation = true;
if (transport === 'stream') Object.assign(options, { protocol: 'stream', stream: net.connect(host) });
// Its own three retries within a second are too few where the listener gets no processor for so long.
else if (transport === 'datagram') Object.assign(options, { protocol: 'uds', path: host,
  udsRetryOptions: { retries: 60000, retryDelayMs: 1, maxRetryDelayMs: 1 } });
else Object.assign(options, { protocol: transport, host, port: Number(port) });
const client = new StatsD(options);

// One that is sent again comes behind the next: what has an order waits, where a call is a datagram.
const delta = (value) => manner !== 'each' ? client.gaugeDelta('delta', value)
  : new Promise((done) => client.gaugeDelta('delta', value, undefined, undefined, done));

async function main() {
  for (let i = 0; i < 100; i++) client.increment('incr', 1, { az: '1' });
  client.decrement('decr', 3);
  client.increment(['one', 'two']);
  // Each of those that the rate would choose is chosen.
  Math.random = () => 0;
  client.increment('rated', 4, 0.5);
  client.gauge('gauge', 12.5);
  await delta(3);
  await delta(-2);
  for (const value of [1, 2.5, 7, 8, 100]) {
    client.timing('timing', value);
    client.histogram('histogram', value, ['route:/a']);
    client.distribution('distribution', value);
  }
  client.timer(() => {}, 'timed')();
  await client.asyncTimer(async () => {}, 'timed.async')();
  await client.asyncDistTimer(async () => {}, 'timed.dist')();
  for (const member of ['alice', 'bob']) client.set('set', member);
  client.unique('set', 'carol');
  const event = { alert_type: 'success', aggregation_key: 'k', priority: 'low', hostname: 'web01' };
  client.event('größe|x', 'line one\nline | two', event, ['a:b']);
  client.check('check', client.CHECKS.WARNING, { message: 'slow', hostname: 'web01' }, ['a:b']);
  // close waits half a second for what is in flight, this as long as it takes.
  await new Promise((done) => client.flush(done));
  client.close((error) => {
    if (error) throw error;
  });
}

main();
