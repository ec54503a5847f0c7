// Calls all of Node's hot-shots: hot_shots.js udp|tcp HOST PORT.

const { StatsD } = require('hot-shots');

const [protocol, host, port] = process.argv.slice(2);
const buffered = protocol === 'udp' ? { maxBufferSize: 1000 } : {};
const client = new StatsD({ protocol, host, port: Number(port), prefix: 'js.', globalTags: { env: 'test' }, ...buffered });

for (let i = 0; i < 100; i++) client.increment('incr', 1, { az: '1' });
client.decrement('decr', 3);
client.increment(['one', 'two']);
client.gauge('gauge', 12.5);
for (const value of [1, 2.5, 7, 8, 100]) {
  client.timing('timing', value);
  client.histogram('histogram', value, ['route:/a']);
  client.distribution('distribution', value);
}
for (const member of ['alice', 'bob']) client.set('set', member);
client.unique('set', 'carol');
client.event('größe|x', 'line one\nline | two', { alert_type: 'success', aggregation_key: 'k', priority: 'low', hostname: 'web01' }, ['a:b']);
client.check('check', client.CHECKS.WARNING, { message: 'slow', hostname: 'web01' }, ['a:b']);
client.close((error) => {
  if (error) throw error;
});
